"""Bad blocks: dm-dust fails the reads of some blocks of file data, until they are written or the disk is healed."""

from __future__ import annotations

from typing import ClassVar

from devicemapper import targets as dm
from devicemapper.table import Table
from torture.faults.io_errors.eio_reads import EioReads
from torture.faults.io_errors.failing_writes import RefusedReads
from torture.rig.scene import Scene
from verify.stamp import SECTOR_BYTES

_ONE_IN = 2


class Dust(EioReads):
    """Which blocks are bad is drawn from the seed: about half of them, at least one.

    A page that is stored to through a mapping must be read first, so only a write that needs no read, such as one of
    O_DIRECT, heals its block; what is left is healed by the gate.
    """

    name = "dust"
    meaning = "half the blocks of file data are bad (dm-dust) until the disk heals; the workers go on"
    targets: ClassVar[frozenset[str]] = frozenset({"dust", "linear"})

    _bad = 0

    def _is_refusing(self, sectors: int) -> bool:
        """What dm-dust refuses is not counted by the block layer (DM_MAPIO_KILL): the workers tell."""
        return self._bad > 0

    def _counted(self, refused: RefusedReads) -> str:
        return f"{self._bad} bad blocks"

    def _break(self, scene: Scene, ranges: list[tuple[int, int]]) -> None:
        block = _block_sectors(scene.plan.page_bytes // SECTOR_BYTES, ranges)
        blocks = [number for first, sectors in ranges for number in range(first // block, (first + sectors) // block)]
        bad = [number for number in blocks if scene.random.randrange(_ONE_IN) == 0] or blocks[:1]
        table = Table.single(dm.Dust(str(scene.disk), 0, block * SECTOR_BYTES), scene.length_sectors)
        scene.swap(table)
        scene.dm.send(dm.Dust.QUIET)
        self._bad = len(set(bad))
        for number in set(bad):
            scene.dm.send(f"{dm.Dust.ADD_BAD} {number}")
        scene.dm.send(dm.Dust.ENABLE)

    def _repair(self, scene: Scene) -> None:
        scene.note(f"when the disk healed: {scene.dm.ask(dm.Dust.COUNT_BAD)}")
        super()._repair(scene)


def _block_sectors(page_sectors: int, ranges: list[tuple[int, int]]) -> int:
    """A page, or one sector where the files do not lie in whole pages."""
    whole = all(first % page_sectors == 0 and sectors % page_sectors == 0 for first, sectors in ranges)
    return page_sectors if whole else 1

"""A slow disk: dm-delay holds every read and write back, so that whatever runs at the same time has time to race."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from devicemapper import targets as dm
from devicemapper.block_stat import block_stat
from devicemapper.table import Table
from torture.faults.base import Fault, Parameter, Proof
from torture.rig.scene import Scene

_SHARE = 0.8
"""Of the delay, that the mean write must at least have taken: writes are merged, jiffies are rounded."""


class Delay(Fault):
    """Nothing is lost by it: everything that was accepted must be there."""

    name = "delay"
    meaning = "every read and write takes some milliseconds longer (dm-delay)"
    targets: ClassVar[frozenset[str]] = frozenset({"delay", "linear"})
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "ms": Parameter(10, 1, 5000, "milliseconds that each write is held back"),
        "read_ms": Parameter(2, 0, 5000, "milliseconds that each read is held back"),
    }
    strikes_before_stores = True

    _before = (0, 0)
    _proof = Proof(False, "the delay was never lifted")

    def strike(self, scene: Scene) -> None:
        """Slow down from before the first store to the unmount."""
        scene.swap(slow(str(scene.disk), scene.length_sectors, self.values))
        self._before = _written(scene.dm.path)

    def mend(self, scene: Scene) -> None:
        """As fast as before."""
        writes, spent_ms = (now - then for now, then in zip(_written(scene.dm.path), self._before, strict=True))
        mean_ms = spent_ms / writes if writes else 0
        self._proof = Proof(mean_ms >= _SHARE * self.values["ms"], f"{writes} writes took {mean_ms:.0f} ms each")
        self.swap_back(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when the writes took as long as that."""
        return self._proof


def slow(device: str, length_sectors: int, values: Mapping[str, int]) -> Table:
    """All of `device`, held back by the `ms` and `read_ms` of `values`."""
    return Table.single(dm.Delay(device, 0, values["read_ms"], device, 0, values["ms"]), length_sectors)


def _written(block_device: Path) -> tuple[int, int]:
    """Write I/Os completed and the milliseconds they took together (fields 5 and 8 of Documentation/block/stat.rst)."""
    stat = block_stat(block_device)
    return stat[4], stat[7]

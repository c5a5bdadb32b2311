"""A thin pool without free blocks below the filesystem, which thinks it has room: writes fail at once."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import ClassVar

from devicemapper.targets import ThinPool
from torture.errors import StepFailed
from torture.faults.base import Parameter, Proof
from torture.faults.probe import write_probe
from torture.faults.thin_pool import OnThinPool
from torture.scene import Scene
from verify import ledger

_PROBE_BYTES = 8 << 20


class ThinFull(OnThinPool):
    """What was stored may be lost, but then no sync may say that it is safe: page_mkwrite cannot know."""

    name = "thin-full"
    meaning = "the thin pool below has no free blocks, and writes that need one fail with ENOSPC"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(0, 0, 1 << 20, "blocks of 64 KiB that the pool can still hand out")
    }
    features = (ThinPool.ERROR_IF_NO_SPACE,)
    crash = True
    strikes_first = True
    readable_warm = False
    refuses: ClassVar[frozenset[int]] = frozenset(
        {errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESHUTDOWN, errno.EUCLEAN}
    )

    _mode = ""

    def arm(self, scene: Scene) -> None:
        """Everything that was laid out has its blocks."""
        self.provisioned(scene)

    def strike(self, scene: Scene) -> None:
        """Take what is free. Syncs still prove what they say."""
        scene.ledger.append(ledger.Struck(self.name, crash=True))
        taken = self.pool.take_space(self.values["free_blocks"])
        scene.note(f"a rival took {taken} blocks of the thin pool")

    def relent(self, scene: Scene) -> None:
        """The workers may have found room in what was handed out before: then a write of the tool's own meets the end."""
        scene.note(f"a probe write of {_PROBE_BYTES >> 20} MiB gave {write_probe(scene, _PROBE_BYTES) or 'no error'}")

    def mend(self, scene: Scene) -> None:
        """The rival's blocks are free again."""
        self._mode = self.pool.status().mode
        self.pool.give_back()
        if (mode := self.pool.status().mode) != "rw":
            raise StepFailed("mend the thin pool", f"its mode is {mode} though blocks are free again")

    def proof(self, scene: Scene) -> Proof:
        """It fired when the pool had to refuse a block."""
        return Proof(self._mode == "out_of_data_space", f"mode of the pool after the unmount: {self._mode}")

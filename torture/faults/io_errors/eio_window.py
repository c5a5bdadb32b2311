"""EIO on every write, for the moments between two gates: time for one writeback, and for nothing else."""

from __future__ import annotations

from typing import ClassVar

from torture.faults.io_errors.eio_writes import EioWrites
from torture.faults.io_errors.failing_writes import RefusedWrites
from torture.rig.scene import Scene
from verify import ledger


class EioWindow(EioWrites):
    """What is written back then is lost, and whoever syncs later is told. It closes before a journal is written."""

    name = "eio-window"
    meaning = "every write fails with EIO for a moment"
    may_lose_unsynced = False
    strikes_before_stores = False
    moments: ClassVar[tuple[str, ...]] = ("middle",)
    rounds = 1

    def strike(self, scene: Scene) -> None:
        """Refuse from now on; by ioctl, which takes a fraction of the time."""
        scene.ledger.append(ledger.Struck(self.name, crash=False))
        self._refused = RefusedWrites(scene)
        scene.dm.exchange_table(self._broken(scene))

    def heal(self, scene: Scene) -> None:
        """Take writes again."""
        self._refused.stop()
        scene.dm.exchange_table(self.table(str(scene.disk), scene.length_sectors))

    def mend(self, scene: Scene) -> None:
        """Nothing is left to be mended."""

"""Canary: a lying disk. It says yes to every write and flush and keeps none, and nothing crashes.

Every store of the trial is lost silently, so a tool that does not find the loss is blind.
"""

from __future__ import annotations

from devicemapper.table import Table
from devicemapper.targets import Flakey
from torture.faults.base import Fault, Proof
from torture.faults.power.dropping import DroppedWrites, flakey_table
from torture.rig.scene import Scene


class LyingDisk(Fault):
    """Writes dropped from before the first store, never restored, no crash: a planted loss of everything."""

    name = "lying-disk"
    meaning = "canary: writes are dropped, no crash; must be found"
    targets = frozenset({"flakey"})
    canary = True
    strikes_before_stores = True

    _dropped: DroppedWrites

    def table(self, disk: str, length_sectors: int) -> Table:
        """A flakey target that is always up."""
        return flakey_table(disk, length_sectors)

    def strike(self, scene: Scene) -> None:
        """Start lying. The ledger is not told: to everybody above, all is well."""
        self._dropped = DroppedWrites(scene, flakey_table(str(scene.disk), scene.length_sectors, Flakey.DROP_WRITES))

    def mend(self, scene: Scene) -> None:
        """The disk answers reads as before; what it dropped stays lost."""
        self._dropped.stop_counting()
        self.swap_back(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when writes were taken and none passed on."""
        return self._dropped.proof()

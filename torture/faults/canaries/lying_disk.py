"""Canary: a lying disk. It says yes to every write and flush and keeps none, and nothing crashes.

Every store of the trial is lost silently, so a tool that does not find the loss is blind.
"""

from __future__ import annotations

from devicemapper.targets import Flakey
from torture.faults.power.dropping import DroppedWrites, Dropping, flakey_table
from torture.rig.scene import Scene


class LyingDisk(Dropping):
    """Writes dropped from before the first store, never restored, no crash: a planted loss of everything."""

    name = "lying-disk"
    meaning = "canary: writes are dropped, no crash; must be found"
    canary = True
    strikes_before_stores = True

    def strike(self, scene: Scene) -> None:
        """Start lying. The ledger is not told: to everybody above, all is well."""
        self._dropped = DroppedWrites(scene, flakey_table(str(scene.disk), scene.length_sectors, Flakey.DROP_WRITES))

"""Power cut: dm-flakey drops every write from one moment on, and the filesystem is remounted as the disk then was.

The order of steps is that of kernel-facts.md: swap to `drop_writes` without freezing, end the workers, unmount, swap
back, mount. Writes that completed before the swap are durable and in order, so a missing flush is not seen this way.
"""

from __future__ import annotations

from devicemapper.table import Table
from devicemapper.targets import Flakey
from torture.faults.base import Fault, Proof
from torture.faults.power.dropping import REFUSES, DroppedWrites, flakey_table
from torture.rig.scene import Scene
from verify import ledger


class PowerCut(Fault):
    """Everything not yet on the disk when it strikes is gone."""

    name = "power-cut"
    meaning = "dm-flakey drop_writes, then unmount and mount"
    targets = frozenset({"flakey"})
    may_lose_unsynced = True
    excused_errnos = REFUSES
    loses_later_writes = True
    moments = ("end", "middle", "late")

    _dropped: DroppedWrites

    def table(self, disk: str, length_sectors: int) -> Table:
        """A flakey target that is always up."""
        return flakey_table(disk, length_sectors)

    def strike(self, scene: Scene) -> None:
        """Drop all writes from now on. The ledger is told first: a sync that ends after this proves nothing."""
        table = flakey_table(str(scene.disk), scene.length_sectors, Flakey.DROP_WRITES)
        scene.ledger.append(ledger.Swap(str(table)))
        self._dropped = DroppedWrites(scene, table)
        scene.ledger.append(ledger.Struck(self.name, crash=True))

    def mend(self, scene: Scene) -> None:
        """The disk obeys again, with what it had when the power went."""
        self._dropped.stop_counting()
        self.swap_back(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when writes reached the dm device and none reached the disk."""
        return self._dropped.proof()

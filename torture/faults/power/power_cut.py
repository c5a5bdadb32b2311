"""Power cut: dm-flakey drops every write from one moment on, and the filesystem is remounted as the disk then was.

The order of steps is that of kernel-facts.md: swap to `drop_writes` without freezing, end the workers, unmount, swap
back, mount. Writes that completed before the swap are durable and in order, so a missing flush is not seen this way.
"""

from __future__ import annotations

from devicemapper.targets import Flakey
from torture.faults.power.dropping import REFUSES, DroppedWrites, Dropping, flakey_table
from torture.rig.scene import Scene
from verify import ledger


class PowerCut(Dropping):
    """Everything not yet on the disk when it strikes is gone."""

    name = "power-cut"
    meaning = "dm-flakey drop_writes, then unmount and mount"
    may_lose_unsynced = True
    excused_errnos = REFUSES
    loses_later_writes = True
    moments = ("end", "middle", "late")

    def strike(self, scene: Scene) -> None:
        """Drop all writes from now on. The ledger is told first: a sync that ends after this proves nothing."""
        table = flakey_table(str(scene.disk), scene.length_sectors, Flakey.DROP_WRITES)
        scene.ledger.append(ledger.Swap(str(table)))
        self._dropped = DroppedWrites(scene, table)
        scene.ledger.append(ledger.Struck(self.name, crash=True))

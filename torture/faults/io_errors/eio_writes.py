"""EIO on every write, from before the first store until the unmount: journal, metadata and data alike."""

from __future__ import annotations

from typing import ClassVar

from devicemapper.table import Table
from torture.faults.base import SHUT_DOWN, Proof
from torture.faults.io_errors.failing_writes import RefusedWrites, refusing
from torture.faults.power.dropping import OnFlakey
from torture.rig.scene import Scene
from verify import ledger


class EioWrites(OnFlakey):
    """What was stored may be lost, but then no sync may say that it is safe. The filesystem may shut itself down."""

    name = "eio-writes"
    meaning = "every write fails with EIO until the unmount"
    targets: ClassVar[frozenset[str]] = frozenset({"flakey"})
    may_lose_unsynced = True
    strikes_before_stores = True
    readable_warm = False
    refuses_metadata: ClassVar[bool] = True
    excused_errnos = SHUT_DOWN

    _refused: RefusedWrites

    def strike(self, scene: Scene) -> None:
        """Refuse from now on. Syncs still prove what they say: that is the point."""
        scene.ledger.append(ledger.Struck(self.name, crash=True))
        self._refused = RefusedWrites(scene)
        scene.swap(self._broken(scene))

    def _broken(self, scene: Scene) -> Table:
        return refusing(str(scene.disk), scene.length_sectors, [(0, scene.length_sectors)])

    def mend(self, scene: Scene) -> None:
        """The disk takes writes again."""
        self._refused.stop()
        self.swap_back(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when writes were refused."""
        return self._refused.proof()

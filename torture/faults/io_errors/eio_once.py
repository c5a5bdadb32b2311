"""EIO on writes of file data for a while, in the middle of the work; then the disk is healed and the workers go on.

A sync that failed promises nothing for the pages that it covered, and none that succeeds later rescues them. What is
stored and synced once the disk is healed must be there.
"""

from __future__ import annotations

from typing import ClassVar

from devicemapper.table import Table
from torture.faults.base import Proof
from torture.faults.io_errors.eio_data import EioData
from torture.faults.io_errors.failing_writes import RefusedWrites
from torture.rig.scene import Scene
from verify import ledger
from verify.descriptors import opened
from workloads import writeback


class EioOnce(EioData):
    """Strikes and heals at gates, while the pages are mapped and pinned."""

    name = "eio-once"
    meaning = "writes to file data fail with EIO, then the disk heals and the workers go on"
    strikes_before_stores = False
    moments: ClassVar[tuple[str, ...]] = ("middle", "start")
    rounds = 1

    _counts: tuple[RefusedWrites, ...] = ()
    _counting: RefusedWrites | None = None
    _table: Table | None = None

    def strike(self, scene: Scene) -> None:
        """Refuse from now on."""
        scene.ledger.append(ledger.Struck(self.name, crash=True))
        self._table = self._table or self._broken(scene)  # later, the errors that the files met make FIEMAP fail
        self._counting = RefusedWrites(scene)
        scene.swap(self._table)

    def heal(self, scene: Scene) -> None:
        """Take writes again."""
        self._have_written(scene)
        self._take_writes(scene)

    def mend(self, scene: Scene) -> None:
        """A plan without a gate for it is healed now."""
        if self._counting is not None:
            self._take_writes(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when writes were refused in at least one round."""
        sectors = [each.sectors for each in self._counts]
        return Proof(any(sectors), f"sectors of writes refused with EIO, by round: {sectors}")

    def _take_writes(self, scene: Scene) -> None:
        """I/O under way is waited for by the swap."""
        self.swap_back(scene)
        self._stop_counting()

    def _have_written(self, scene: Scene) -> None:
        """If no worker had anything written while the disk refused, do what the kernel's flusher might: begin writeback."""
        if self._counting is None or self._counting.so_far():
            return
        for file in scene.files:
            with opened(scene.files_directory / file.name) as descriptor:
                writeback.start(descriptor, scene.plan.page_bytes)

    def _stop_counting(self) -> None:
        if self._counting is not None:
            self._counting.stop()
            self._counts = (*self._counts, self._counting)
            self._counting = None

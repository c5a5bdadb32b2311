"""A thin pool without free blocks that lets I/O wait until it is extended, as an administrator would: nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from torture.faults.base import Parameter, Proof
from torture.faults.space.probe import write_probe
from torture.faults.space.thin_pool import PROBE_BYTES, OnThinPool
from torture.rig.scene import Scene
from workloads.children import Child

_POLL_S = 0.05
_LOOKOUT_S = 20.0
"""Below the 60 s (no_space_timeout of dm-thin-pool) after which waiting I/O fails."""


class ThinQueue(OnThinPool):
    """Writes that need a block wait; then there are blocks, and every store must be there in the end."""

    name = "thin-queue"
    meaning = "the thin pool below has no free blocks for a while, and writes wait"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(0, 0, 1 << 20, "blocks of 64 KiB that the pool can still hand out"),
        "hold_ms": Parameter(100, 0, 30_000, "how long writes wait before there are blocks again"),
    }
    strikes_before_stores = True

    _waited = False

    def arm(self, scene: Scene) -> None:
        """Everything that was laid out has its blocks."""
        self.provisioned(scene)

    def strike(self, scene: Scene) -> None:
        """Take what is free."""
        taken = self.pool.take_space(self.values["free_blocks"])
        scene.note(f"a rival took {taken} blocks of the thin pool")

    def while_working(self, scene: Scene) -> None:
        """Once writes wait, give back what was taken: nothing else could be written at the end. If all workers are done
        and nobody had to wait, a write of the tool's own does."""
        self._waited = self._watch(lambda: not _all_done(scene))
        if not self._waited:
            probe = Child(lambda: write_probe(scene, PROBE_BYTES))
            scene.running.callback(probe.end)
            self._waited = self._watch(lambda: True)
        if self._waited:
            time.sleep(self.values["hold_ms"] / 1000)
        self.pool.give_back()

    def _watch(self, is_worth_it: Callable[[], bool]) -> bool:
        """Whether the pool runs out of blocks within the time that there is, and as long as it is worth to wait."""
        deadline = time.monotonic() + _LOOKOUT_S
        while self.pool.status().mode != "out_of_data_space":
            if time.monotonic() > deadline or not is_worth_it():
                return False
            time.sleep(_POLL_S)
        return True

    def proof(self, scene: Scene) -> Proof:
        """It fired when writes had to wait."""
        return Proof(self._waited, "writes had to wait for blocks" if self._waited else "the pool never ran out of them")


def _all_done(scene: Scene) -> bool:
    return all(process.wait_finished(0).state != "timeout" for process in scene.workers)

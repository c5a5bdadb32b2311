"""A thin pool without free blocks that lets I/O wait until it is extended, as an administrator would: nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from torture.faults.base import Parameter, Proof
from torture.faults.thin_pool import OnThinPool
from torture.scene import Scene

_POLL_S = 0.05
_LOOKOUT_S = 20.0
"""Below the 60 s (no_space_timeout of dm-thin-pool) after which waiting I/O fails."""


class ThinQueue(OnThinPool):
    """Writes that need a block wait; then there are blocks, and every store must be there in the end."""

    name = "thin-queue"
    meaning = "the thin pool below has no free blocks for a while, and writes wait"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(0, 0, 1 << 20, "blocks of 64 KiB that the pool can still hand out"),
        "hold_ms": Parameter(300, 0, 30_000, "how long writes wait before there are blocks again"),
    }
    strikes_first = True

    _waited = False

    def arm(self, scene: Scene) -> None:
        """Everything that was laid out has its blocks."""
        self.provisioned(scene)

    def strike(self, scene: Scene) -> None:
        """Take what is free."""
        taken = self.pool.take_space(self.values["free_blocks"])
        scene.note(f"a rival took {taken} blocks of the thin pool")

    def during(self, scene: Scene) -> None:
        """Once writes wait, or everybody is done, give back what was taken: nothing else could be written at the end."""
        deadline = time.monotonic() + _LOOKOUT_S
        while time.monotonic() < deadline and not self._waited:
            self._waited = self.pool.status().mode == "out_of_data_space"
            if all(process.wait_finished(0).state != "timeout" for process in scene.workers):
                break
            time.sleep(_POLL_S)
        if self._waited:
            time.sleep(self.values["hold_ms"] / 1000)
        self.pool.give_back()

    def proof(self, scene: Scene) -> Proof:
        """It fired when writes had to wait."""
        return Proof(self._waited, "writes had to wait for blocks" if self._waited else "the pool never ran out")

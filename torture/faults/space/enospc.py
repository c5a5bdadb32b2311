"""ENOSPC: the filesystem is filled with foreign-stamped ballast until N blocks are left, before the first store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torture.errors import BrokenPromise
from torture.faults.base import Fault, Parameter, Proof
from torture.rig.ballast import Ballast, fill
from torture.rig.scene import Scene

SIGNS = ("store SIGBUS", "store EFAULT", "sync ENOSPC")


class Enospc(Fault):
    """A filesystem with `free_blocks` blocks left. The ballast stays until the unmount."""

    name = "enospc"
    meaning = "the filesystem is full but for a few blocks"
    parameters: ClassVar[Mapping[str, Parameter]] = {"free_blocks": Parameter(4, 0, 1 << 20, "filesystem blocks left free")}

    _ballast: Ballast

    def arm(self, scene: Scene) -> None:
        """Fill, and leave `free_blocks` blocks."""
        self._ballast = fill(scene, self.values["free_blocks"])
        scene.note(self._ballast.summary)

    def remounted(self, scene: Scene) -> None:
        """The ballast is data like any other: after a clean unmount all of it is there. The files are read in any case."""
        try:
            if scene.sound_disk:
                self._ballast.check(scene)
        except BrokenPromise as error:
            scene.broken.append(error.finding)

    def proof(self, scene: Scene) -> Proof:
        """It fired when a store or a sync was refused, or when a probe write is refused now."""
        seen = [f"{count} x {what}" for what, count in scene.refusals.items() if what in SIGNS]
        if seen:
            return Proof(True, ", ".join(seen))
        refused = self._ballast.probe()
        answer = "refused" if refused else "accepted"
        return Proof(refused, f"a probe write of {self._ballast.probe_blocks} blocks was {answer}")

"""Killed workers: SIGKILL while they have everything mapped and pinned. Nothing that was stored may be lost by that."""

from __future__ import annotations

from torture.faults.base import Fault, Proof
from torture.rig.scene import Scene


class KillWorkers(Fault):
    """The kernel unpins and unmaps; dirty pages stay in the cache and reach the disk at the unmount."""

    name = "kill-workers"
    meaning = "SIGKILL to every worker while its pages are pinned, clean unmount"

    kills_workers = True
    moments = ("end", "middle", "late")

    _killed = 0

    def strike(self, scene: Scene) -> None:
        """Kill them all."""
        self._killed = sum(process.kill().signal is not None for process in scene.workers)

    def proof(self, scene: Scene) -> Proof:
        """It fired when every worker was ended by the signal."""
        return Proof(
            self._killed == len(scene.workers) > 0, f"{self._killed} of {len(scene.workers)} workers ended by SIGKILL"
        )

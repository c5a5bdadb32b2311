"""Killed by the kernel for want of memory: the workers' cgroup is allowed nothing while they have everything pinned."""

from __future__ import annotations

import os
from pathlib import Path

from torture.faults.base import Fault, Proof
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene
from workloads.memory_cgroup import MemoryCgroup, hierarchy
from workloads.unsupported import Unsupported

_FIRST_TO_GO = "1000"


class OomKill(Fault):
    """First reclaim of what is not pinned, then SIGKILL to one worker after the other. Nothing stored may be lost."""

    name = "oom-kill"
    meaning = "a cgroup limit that forces reclaim and then kills the workers, clean unmount"
    kills_workers = True

    _killed = 0

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """Only version 2 kills at once."""
        try:
            version = hierarchy().version
        except Unsupported as refusal:
            return str(refusal)
        return "" if version == 2 else "the memory controller is on a cgroup hierarchy of version 1, which kills nobody"

    def arm(self, scene: Scene) -> None:
        """In a cgroup of its own from now on, as all workers that are forked."""
        self._group = MemoryCgroup(str(os.getpid()))
        self._group.join()
        scene.below.callback(self._group.leave)

    def strike(self, scene: Scene) -> None:
        """Step out, and starve those who stay."""
        self._group.step_out()
        for process in scene.workers:
            Path(f"/proc/{process.pid}/oom_score_adj").write_text(_FIRST_TO_GO)
        self._killed = self._group.starve()

    def proof(self, scene: Scene) -> Proof:
        """It fired when the kernel killed workers."""
        return Proof(self._killed > 0, f"the kernel killed {self._killed} of {len(scene.workers)} workers")

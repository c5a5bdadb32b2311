"""The `local` lab: the running kernel. Root, asked for by name, and only on loop devices that the tool makes itself.

The agent is a child process; each guest has its own disk image and mount point. Where this kernel has no device-mapper,
the faults that need none still run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torture.lab import clean, guards, processes
from torture.lab import run_id as runs
from torture.lab.connection import ConnectedGuest
from torture.lab.disk import make_guest_home, provide_disk


@dataclass(frozen=True, slots=True)
class LocalLab:
    """Agents on this kernel."""

    name: ClassVar[str] = "local"
    kernel_kind: ClassVar[str] = ""
    """It takes no kernel."""

    run_id: str
    results: Path
    """The directory of the run."""
    scratch: Path
    """Where the run has a directory for disk images."""
    device: Path | None = None
    """A block device that the user gave up, instead of images and loop devices."""
    image: Path | None = None
    """A disk in `scratch` that the only agent takes over, instead of a fresh one."""

    @property
    def facts(self) -> dict[str, str]:
        """What a finding's directory says about the lab."""
        return {"lab": self.name, "kernel_path": "the running kernel"}

    @staticmethod
    def in_words(kernel_path: str) -> str:
        """What a reader of a bug report is told about this lab."""
        return f"on the machine itself ({kernel_path}), not in a virtual one"

    def unavailable(self) -> str:
        """Why trials cannot run on this kernel, "" if they can."""
        if os.geteuid() != 0:
            return "the local lab mounts filesystems on this kernel and needs root"
        if not Path("/dev/loop-control").exists():
            return "this kernel has no loop devices"
        return ""

    def boot(self, index: int) -> ConnectedGuest:
        """Start an agent with a fresh disk image."""
        home = make_guest_home(self.scratch, self.run_id, index)
        if self.device:
            guards.check_again(self.device)
        disk = self.device or home / "disk.img"
        provide_disk(disk, self.image)
        tag = f"{runs.GUEST}={self.run_id}/{index}"
        name, _, value = tag.partition("=")
        console = self.results / f"console-{index}.log"
        command = [sys.executable, "-m", "torture.agent", "--disk", str(disk), "--work", str(home / "work")]
        command += ["--run-id", f"{self.run_id}-{home.name}", "--results", str(self.results)]

        def launch(serial: int) -> subprocess.Popen[bytes]:
            with open(console, "ab") as log:
                return subprocess.Popen(
                    [*command, "--channel", str(serial)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[serial],
                    start_new_session=True,
                    env={**os.environ, **runs.environment(self.run_id, self.scratch), name: value},
                )

        return _LocalGuest(launch, console, self.results, tag, home)


class _LocalGuest(ConnectedGuest):
    """What an agent that was killed leaves on this kernel has to be taken down by hand."""

    def kill(self) -> None:
        """End the processes, then undo mounts and loop devices, in that order.

        Their mount namespace is kept until then: what the kernel itself unmounts when its last process ends may be frozen,
        or wait for ever for a device that is suspended.
        """
        with clean.kept_namespaces(processes.tagged(self._tag)) as opened:
            self._end_processes()
            clean.take_down(self._home, f"{self._home.parent.name}-{self._home.name}-", opened)
        self._remove_home()

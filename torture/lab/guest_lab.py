"""What labs with a kernel of their own share: a guest's disks, its first program, its console and its tag.

The host's files are the guest's root, read-only; tmpfs hides a few directories, and the results directory is mounted
again, to be written. The agent is the guest's first process and talks over a serial line whose other end is a socket
here. Each guest leads a session of its own, so that all of its processes can be found and ended.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torture.errors import BadRequest
from torture.lab import run_id as runs
from torture.lab.base import BOOT_TIMEOUT_S, GuestLost
from torture.lab.connection import ConnectedGuest, Launch
from torture.lab.disk import provide_disk

SPARE_MIB = 2048
"""Size of each of the two spare disks: sparse, so they take what is written to them."""
_SCRATCH_CANDIDATES = ("/mnt", "/run", "/tmp", "/srv", "/opt", "/var/tmp")


@dataclass(frozen=True, slots=True)
class GuestFiles:
    """What lies on the host for one guest, before it is started."""

    home: Path
    """The directory of its disks, which goes when the guest ends."""
    disks: tuple[Path, Path, Path]
    """The scratch disk and two spares."""
    init: Path
    """The script that is its first program."""
    console: Path
    """What its kernel says."""
    errors: Path
    """What the program that makes the guest says; that may be the console too."""
    tag: str
    """NAME=VALUE in the environment of all its processes."""


@dataclass(frozen=True, slots=True)
class GuestLab(ABC):
    """Guests of one kernel."""

    name: ClassVar[str]
    share: ClassVar[str]
    """The filesystem type by which a guest writes the results (torture.agent)."""
    devices: ClassVar[tuple[str, str, str]]
    """What a guest calls its disks."""
    serial: ClassVar[str]
    """What a guest calls its end of the serial line."""
    kernel_kind: ClassVar[str]
    """What its kernels are, in two or three words."""

    run_id: str
    results: Path
    """The directory of the run: the only one of the host that a guest may write to."""
    scratch: Path
    """Where the run has a directory for disks."""
    page_bytes: int
    kernel: str = ""
    """Its path; "" is the lab's default."""
    kernel_arguments: tuple[str, ...] = ()
    memory_mib: int = 512
    image: Path | None = None
    """A disk in `scratch` that the only guest takes over, instead of a fresh one."""

    @property
    def facts(self) -> dict[str, str]:
        """What a finding's directory says about the lab."""
        arguments = " ".join(self.kernel_arguments)
        return {"lab": self.name, "kernel_path": self.kernel or self.default_kernel(), "arguments": arguments}

    @property
    def boot_timeout_s(self) -> float:
        """How long a guest may take to come up."""
        return BOOT_TIMEOUT_S

    @staticmethod
    @abstractmethod
    def in_words(kernel_path: str) -> str:
        """What a reader of a bug report is told about guests with that kernel."""

    @staticmethod
    @abstractmethod
    def default_kernel() -> str:
        """The kernel that is taken if none is named, "" if there is none."""

    @staticmethod
    @abstractmethod
    def check_kernel(path: str) -> str:
        """The absolute path of a kernel that this lab can start; BadRequest, with what is wrong, for anything else."""

    @abstractmethod
    def unavailable(self) -> str:
        """Why there can be no guest, "" if there can."""

    @abstractmethod
    def _launcher(self, files: GuestFiles) -> Launch:
        """Starts the guest, again after a power cut. Raises GuestLost if that is hopeless."""

    def boot(self, index: int) -> ConnectedGuest:
        """Start a guest with a disk of its own."""
        home = self.scratch / self.run_id / f"guest-{index}"
        home.mkdir(parents=True)
        disk, *spares = disks = (home / "disk.img", home / "spare-1.img", home / "spare-2.img")
        provide_disk(disk, self.image, self.page_bytes)
        for spare in spares:
            with open(spare, "xb") as hole:
                hole.truncate(SPARE_MIB << 20)
        init = self.results / f"init-{index}"  # not in scratch: /dev/shm is hidden in the guest by its own /dev
        init.write_text("\n".join(self._first_program()) + "\n")
        init.chmod(0o755)
        tag = f"{runs.ENVIRONMENT}_GUEST={self.run_id}/{index}"
        console = self.results / f"console-{index}.log"
        files = GuestFiles(home, disks, init, console, self._errors(console), tag)
        try:
            return ConnectedGuest(self._launcher(files), console, self.results, tag, home, self.boot_timeout_s)
        except GuestLost:
            if files.errors.exists() and files.errors != console:
                with open(console, "ab") as whole:
                    whole.write(files.errors.read_bytes())
            raise

    def _spawn(
        self, command: Sequence[str], files: GuestFiles, serial: int, extra: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start `command` with the serial line, in a session of its own."""
        name, _, value = files.tag.partition("=")
        keep = {key: os.environ[key] for key in ("PATH", "TMPDIR", "HOME") if key in os.environ}
        with open(files.console, "ab") as console, open(files.errors, "ab") as errors:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=errors,
                pass_fds=[serial],
                start_new_session=True,
                env={**keep, **extra, **runs.environment(self.run_id, self.scratch), name: value},
            )

    def _first_program(self) -> list[str]:
        """The lines of a shell script that ends as the agent."""
        disk, *spares = self.devices
        command = [sys.executable, "-m", "torture.agent", "--channel", self.serial, "--disk", disk]
        for spare in spares:
            command += ["--spare", spare]
        command += ["--run-id", self.run_id, "--results", str(self.results), "--share", self.share]
        command += ["--scratch", *self._hidden_directories()]
        return [
            "#!/bin/sh",
            "export PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            f"exec {shlex.join(command)} {self._modules()}",
        ]

    def _errors(self, console: Path) -> Path:
        """Where the program that makes the guest complains."""
        return console

    @abstractmethod
    def _modules(self) -> str:
        """Options of the agent, in words for the shell, that say where the kernel's modules are."""

    def _hidden_directories(self) -> list[str]:
        """Directories that tmpfs may hide in the guest: those that hold nothing the guest needs."""
        needed = [Path(entry).resolve() for entry in (*sys.path, sys.prefix, sys.base_prefix, self.kernel) if entry]
        needed.append(Path(__file__).resolve())
        free = [
            candidate
            for candidate in _SCRATCH_CANDIDATES
            if Path(candidate).is_dir() and not any(path.is_relative_to(candidate) for path in needed)
        ]
        if not free:
            raise BadRequest(
                f"torture is installed below every one of {', '.join(_SCRATCH_CANDIDATES)}", "install it elsewhere"
            )
        return free[:3]

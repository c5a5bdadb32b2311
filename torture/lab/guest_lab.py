"""What labs with a kernel of their own share: a guest's disks, its first program, its console and its tag.

The host's files are the guest's root, read-only; tmpfs hides a few directories, and a directory for what it finds is
mounted again, to be written. The agent is the guest's first process and talks over a serial line whose other end is a
socket here. Each guest leads a session of its own, so that all of its processes can be found and ended, in a home of its
own, where it finds its files by short names whatever the directories above are called, and behind a wall
(torture.lab.sandbox).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torture.errors import BadRequest
from torture.lab import run_id as runs
from torture.lab import sandbox
from torture.lab.base import BOOT_TIMEOUT_S, GuestLost
from torture.lab.connection import ConnectedGuest, Launch, Watch, unwatched
from torture.lab.disk import make_guest_home, provide_disk
from torture.lab.outbox import Outbox, give
from torture.lab.sandbox import Confinement
from torture.lab.users import guest_user

SPARE_MIB = 2048
"""Size of each of the two spare disks: sparse, so they take what is written to them."""
_SCRATCH_CANDIDATES = ("/mnt", "/run", "/tmp", "/srv", "/opt", "/var/tmp")


DISKS = ("disk.img", "spare-1.img", "spare-2.img")
"""The scratch disk and two spares, in a guest's home."""
OUTBOX, RUNTIME = "out", "run"
"""Directories in a guest's home: what it leaves, and what its program makes for itself while it runs."""
RESULTS = f"/proc/self/cwd/{OUTBOX}"
"""The first of them, for a program that was started in the home and takes absolute paths only."""


@dataclass(frozen=True, slots=True)
class GuestFiles:
    """What lies on the host for one guest, before it is started."""

    home: Path
    """The directory in which it starts, with DISKS, OUTBOX and RUNTIME; it goes when the guest ends."""
    memory: Path
    """The directory of the file that is its memory, for programs that make one."""
    console: Path
    """What its kernel says."""
    errors: Path
    """What the program that makes the guest says; that may be the console too."""
    tag: str
    """NAME=VALUE in the environment of all its processes."""
    user: int | None
    """Its uid and gid on this machine; None: those of who started it."""

    def prepare(self) -> None:
        """Make its directories, and hand over what it may write to: not the home itself, where the host reads disks."""
        (self.home / RUNTIME).mkdir()
        for place in (self.memory, *(self.home / name for name in (RUNTIME, *DISKS))):
            give(place, self.user)
        self.outbox.make()

    @property
    def outbox(self) -> Outbox:
        """Where it leaves its results."""
        return Outbox(self.home / OUTBOX, self.user)


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

    def _watch(self, files: GuestFiles) -> Watch:
        """Whether somebody else on this machine does something to the guest."""
        return unwatched

    def boot(self, index: int) -> ConnectedGuest:
        """Start a guest with a disk of its own."""
        files = self._files(index)
        try:
            launch = self._launcher(files)
            return ConnectedGuest(
                launch,
                files.console,
                self.results,
                files.tag,
                files.home,
                self.boot_timeout_s,
                files.outbox,
                files.memory,
                self._watch(files),
            )
        except GuestLost:
            if files.errors.exists() and files.errors != files.console:
                with open(files.console, "ab") as whole:
                    whole.write(files.errors.read_bytes())
            raise

    def _files(self, index: int) -> GuestFiles:
        home = make_guest_home(self.scratch, self.run_id, index)
        provide_disk(home / DISKS[0], self.image)
        for spare in DISKS[1:]:
            with open(home / spare, "xb") as hole:
                hole.truncate(SPARE_MIB << 20)
        tag = f"{runs.GUEST}={self.run_id}/{index}"
        console = self.results / f"console-{index}.log"
        files = GuestFiles(home, self._memory(home), console, self._errors(console), tag, guest_user(home))
        files.prepare()
        return files

    def _spawn(
        self, command: Sequence[str], files: GuestFiles, wall: Confinement, descriptors: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        """Start `command` in its home, with the serial line and other descriptors, in a session of its own, walled in."""
        name, _, value = files.tag.partition("=")
        keep = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        with open(files.console, "ab") as console, open(files.errors, "ab") as errors:
            return subprocess.Popen(
                sandbox.command(wall, command),
                cwd=files.home,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=errors,
                pass_fds=descriptors,
                start_new_session=True,
                env={**keep, **runs.environment(self.run_id, self.scratch), name: value},
            )

    def _wall(self, files: GuestFiles, kernel: str) -> Confinement:
        """What every guest may do."""
        return Confinement(
            own=[str(place) for place in (files.memory, *(files.home / name for name in (OUTBOX, RUNTIME)))],
            files=[str(files.home / name) for name in DISKS],
            programs=[str(path) for path in _needed(kernel)],
            user=files.user,
        )

    def _first_program(self) -> list[str]:
        """Words of the kernel's command line, its last: those that the user added, and those that start the agent.

        The shell is started with a script as its argument, in one word without a blank, since the kernel takes its
        command line apart at blanks (next_arg of lib/cmdline.c); what may be in a path is written in octal for printf(1).
        """
        disk, *spares = self.devices
        command = [sys.executable, "-m", "torture.agent", "--channel", self.serial, "--disk", disk]
        for spare in spares:
            command += ["--spare", spare]
        command += ["--run-id", self.run_id, "--results", RESULTS, "--share", self.share]
        command += ["--scratch", *self._hidden_directories()]
        script = f"export PATH=/usr/sbin:/usr/bin:/sbin:/bin; exec {shlex.join(command)} {self._modules()}"
        return ["init=/bin/sh", *self.kernel_arguments, "--", "-c", one_word(script)]

    def _memory(self, home: Path) -> Path:
        """A directory for the guest's memory, which may have to be made."""
        return home / RUNTIME

    def _errors(self, console: Path) -> Path:
        """Where the program that makes the guest complains."""
        return console

    @abstractmethod
    def _modules(self) -> str:
        """Options of the agent, in words for the shell, that say where the kernel's modules are."""

    def _hidden_directories(self) -> list[str]:
        """Directories that tmpfs may hide in the guest: those that hold nothing the guest needs."""
        needed = _needed(self.kernel)
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


def _needed(kernel: str) -> list[Path]:
    """What a guest reads of this program, resolved."""
    entries = (*sys.path, sys.executable, sys.prefix, sys.base_prefix, kernel, __file__)
    return [Path(entry).resolve() for entry in entries if entry and Path(entry).exists()]  # of sys.path some may not


def one_word(script: str) -> str:
    """A script for `sh -c` that has another one done, in a word without blanks, and without quotes at its ends."""
    safe = b"/._-:" + bytes(range(48, 58)) + bytes(range(65, 91)) + bytes(range(97, 123))
    octal = "".join(chr(byte) if byte in safe else f"\\0{byte:03o}" for byte in os.fsencode(script))
    return f"eval${{IFS}}\"$(printf${{IFS}}%b${{IFS}}'{octal}')\""

"""The `uml` lab: a User-mode Linux kernel as an ordinary process. Needs no root and cannot hurt the host.

The host's files are the guest's root (hostfs, read-only), tmpfs hides a few directories, a second hostfs writes the
results, and the scratch disk is a `ubd` file. The agent is the guest's first process and talks over a serial line
whose other end is a socket here. Each guest leads a session of its own: killing only UML's main process leaves helper
processes that go on writing to the disk.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from torture import run_id as runs
from torture.errors import BadRequest
from torture.lab.cores import on_one_core
from torture.lab.disk import provide_disk
from torture.lab.link import LinkedGuest

PACKAGED_KERNEL = "linux.uml"
MODULES = "/usr/lib/uml/modules"
MEMORY_MIB = 512
SPARE_MIB = 2048
"""Size of each of the two spare disks: sparse, so they take what is written to them."""
_ELF = b"\x7fELF"
_SCRATCH_CANDIDATES = ("/mnt", "/run", "/tmp", "/srv", "/opt", "/var/tmp")


@dataclass(frozen=True, slots=True)
class UmlLab:
    """Guests of one kernel. `kernel` is a path or "" for the packaged one; `scratch` holds the disks.

    `image`: a disk in `scratch` that the only guest takes over, instead of a fresh one.
    """

    run_id: str
    results: Path
    scratch: Path
    page_bytes: int
    kernel: str = ""
    kernel_arguments: tuple[str, ...] = ()
    memory_mib: int = MEMORY_MIB
    image: Path | None = None
    name: str = "uml"

    @property
    def facts(self) -> dict[str, str]:
        """What a finding's directory says about the lab."""
        arguments = " ".join(self.kernel_arguments)
        return {"lab": self.name, "kernel_path": self.kernel or PACKAGED_KERNEL, "arguments": arguments}

    def unavailable(self) -> str:
        """Why there can be no guest, "" if there can."""
        if any(character.isspace() for character in str(self.results)) or self.results.is_relative_to("/dev"):
            return f"the kernel cannot start from {self.results}: give --results a path without spaces, not below /dev"
        if not self.kernel and not shutil.which(PACKAGED_KERNEL):
            return f"{PACKAGED_KERNEL} is not installed (Debian package user-mode-linux)"
        return ""

    def boot(self, index: int) -> LinkedGuest:
        """Start a guest with a disk of its own."""
        kernel = check_kernel(self.kernel) if self.kernel else str(shutil.which(PACKAGED_KERNEL))
        home = self.scratch / self.run_id / f"guest-{index}"
        home.mkdir(parents=True)
        disk = home / "disk.img"
        provide_disk(disk, self.image, self.page_bytes)
        for spare in _spares(home):
            with open(spare, "xb") as hole:
                hole.truncate(SPARE_MIB << 20)
        init = self.results / f"init-{index}"  # not in scratch: /dev/shm is hidden in the guest by its own /dev
        init.write_text(f"#!/bin/sh\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin\n{self._agent()}\n")
        init.chmod(0o755)
        marker = f"{runs.ENVIRONMENT}_GUEST={self.run_id}/{index}"
        console = self.results / f"console-{index}.log"

        def launch(line: int) -> subprocess.Popen[bytes]:
            with open(console, "ab") as log, on_one_core():
                return subprocess.Popen(
                    [kernel, *self._arguments(home, disk, init, line)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[line],
                    start_new_session=True,
                    env=self._environment(marker),
                )

        return LinkedGuest(launch, console, self.results, marker, home)

    def _arguments(self, home: Path, disk: Path, init: Path, line: int) -> list[str]:
        return [
            f"mem={self.memory_mib}M",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "quiet",
            "con=null",
            "con0=null,fd:1",
            f"ssl0=fd:{line}",
            f"uml_dir={home}",
            f"ubd0t={disk}",  # t: no discard, which would turn the foreign stamps of the disk into holes
            *(f"ubd{number}t={spare}" for number, spare in enumerate(_spares(home), 1)),
            f"init={init}",
            *self.kernel_arguments,
        ]

    def _agent(self) -> str:
        scratch = self._hidden_directories()
        command = [sys.executable, "-m", "torture.guest", "--channel", "/dev/ttyS0", "--disk", "/dev/ubda"]
        command += ["--spare", "/dev/ubdb", "--spare", "/dev/ubdc"]
        command += ["--run-id", self.run_id, "--results", str(self.results), "--scratch", *scratch]
        if Path(MODULES).is_dir():
            command += ["--modules", MODULES]
        return f"exec {shlex.join(command)}"

    def _hidden_directories(self) -> list[str]:
        """Directories that tmpfs may hide in the guest: those that hold nothing the guest needs."""
        needed = [Path(entry).resolve() for entry in (*sys.path, sys.prefix, sys.base_prefix, MODULES) if entry]
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

    def _environment(self, marker: str) -> dict[str, str]:
        name, _, value = marker.partition("=")
        shim = find_spec("torture.lab._xstate")
        preload = {"LD_PRELOAD": shim.origin} if shim and shim.origin else {}
        keep = {key: os.environ[key] for key in ("PATH", "TMPDIR", "HOME") if key in os.environ}
        return {**keep, **preload, runs.ENVIRONMENT: self.run_id, name: value}


def _spares(home: Path) -> tuple[Path, Path]:
    return home / "spare-1.img", home / "spare-2.img"


def check_kernel(path: str) -> str:
    """The absolute path of a User-mode Linux kernel; BadRequest, with what is wrong, for anything else."""
    file = Path(path)
    if not file.is_file():
        raise BadRequest(f"--kernel {path}: no such file", "give the path of a User-mode Linux kernel")
    with open(file, "rb") as content:
        if content.read(len(_ELF)) != _ELF:
            raise BadRequest(f"--kernel {path} is not a program", "give the path of a User-mode Linux kernel")
    try:
        shown = subprocess.run([path, "--version"], capture_output=True, timeout=10, check=False)
    except PermissionError:
        raise BadRequest(f"--kernel {path} is not executable", f"run chmod +x {path}") from None
    except (OSError, subprocess.TimeoutExpired):
        raise BadRequest(f"--kernel {path} does not answer --version", "give a User-mode Linux kernel") from None
    version = shown.stdout.decode(errors="replace").strip()
    if shown.returncode != 0 or not version[:1].isdigit():
        raise BadRequest(f"--kernel {path} is not a User-mode Linux kernel", "build one with make ARCH=um linux")
    return str(file.resolve())

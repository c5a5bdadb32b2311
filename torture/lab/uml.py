"""The `uml` lab: a User-mode Linux kernel as an ordinary process. Needs no root.

The guest reads and writes the host's files by hostfs, and the scratch disk is a `ubd` file. Killing only UML's main
process leaves helper processes that go on writing to the disk: the session is ended whole.
"""

from __future__ import annotations

import mmap
import os
import re
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from devicemapper import tools
from torture.errors import BadRequest
from torture.lab import processes, sandbox
from torture.lab.connection import Launch, Watch
from torture.lab.cores import on_one_core
from torture.lab.disk import memory_scratch
from torture.lab.guest_lab import DISKS, RUNTIME, GuestFiles, GuestLab
from torture.lab.sandbox import Confinement
from torture.lab.users import guest_user

PACKAGED_KERNEL = "linux.uml"
MODULES = "/usr/lib/uml/modules"
_ELF = b"\x7fELF"
_STUB_KILLED = re.compile(rb"failed to wait for SIGTRAP.*status = 0x9\b")
_TRACED_WITHIN_S = 0.05
"""A process of the guest is traced at once."""
_GIVE_ONE = "give the path of a User-mode Linux kernel"


@dataclass(frozen=True, slots=True)
class UmlLab(GuestLab):
    """Guests of a User-mode Linux kernel, by default the packaged one."""

    name = "uml"
    share = "hostfs"
    devices = ("/dev/ubda", "/dev/ubdb", "/dev/ubdc")
    serial = "/dev/ttyS0"
    kernel_kind = "User-mode Linux"

    @staticmethod
    def in_words(kernel_path: str) -> str:
        """See GuestLab. Such a kernel can be asked for its configuration."""
        name = Path(kernel_path).name
        return f"User-mode Linux ({name}); its configuration: {name} --showconfig"

    @staticmethod
    def default_kernel() -> str:
        """The packaged one, by its name."""
        return PACKAGED_KERNEL if shutil.which(PACKAGED_KERNEL) else ""

    @staticmethod
    def check_kernel(path: str) -> str:
        """See GuestLab.

        `path` is one, also if it has no slash: no program of the PATH is meant. What the file says of itself is read first;
        then it is started, walled in and with nothing to write to, and asked for its version.
        """
        file = Path(path).resolve()
        if not file.is_file():
            raise BadRequest(f"--kernel {path}: no such file", _GIVE_ONE)
        if not _looks_right(file):
            raise BadRequest(f"--kernel {path} is not a User-mode Linux kernel", "build one with make ARCH=um linux")
        user = guest_user(file)
        if not (file.stat().st_mode & stat.S_IXOTH if user is not None else os.access(file, os.X_OK)):
            whom = " by the users that guests run as" if user is not None else ""
            raise BadRequest(f"--kernel {path} is not executable{whom}", f"run chmod a+rx {shlex.quote(path)}")
        try:
            command = sandbox.command(Confinement(programs=[str(file)], user=user), [str(file), "--version"])
            shown = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
        except subprocess.TimeoutExpired:
            raise BadRequest(f"--kernel {path} does not answer --version", _GIVE_ONE) from None
        if shown.returncode != 0 or not shown.stdout[:1].isdigit():
            said = "".join(f": {line}" for line in shown.stderr.decode(errors="replace").splitlines()[1:2])
            raise BadRequest(f"--kernel {path} does not answer --version{said}", _GIVE_ONE)
        return str(file)

    def unavailable(self) -> str:
        """Why there can be no guest, "" if there can."""
        if not self.kernel and not self.default_kernel():
            return str(tools.CommandMissing(PACKAGED_KERNEL))
        return ""

    def _launcher(self, files: GuestFiles) -> Launch:
        kernel = self.check_kernel(self.kernel) if self.kernel else str(shutil.which(PACKAGED_KERNEL))
        shim = find_spec("torture.lab._xstate")
        preload = [("LD_PRELOAD", shim.origin)] if shim and shim.origin else []

        def launch(serial: int) -> subprocess.Popen[bytes]:
            memory = os.open(files.memory, os.O_PATH | os.O_CLOEXEC)  # the guest's user may not enter what is above
            variables = [*preload, ("TMPDIR", f"/proc/self/fd/{memory}"), ("HOME", RUNTIME)]
            wall = replace(self._wall(files, kernel), environment=variables)
            try:
                with on_one_core():
                    return self._spawn([kernel, *self._arguments(serial)], files, wall, [serial, memory])
            finally:
                os.close(memory)

        return launch

    def _watch(self, files: GuestFiles) -> Watch:
        """A kernel one of whose processes somebody ended (the OOM killer of this machine, for instance) may wait for it for
        ever: no filesystem is to blame. Those that do its I/O are not traced; of the others the kernel tells
        (wait_stub_done, arch/um/os-Linux/skas/process.c)."""

        def watch(leader: int) -> Callable[[], str]:
            helpers, before = processes.untraced(leader), files.console.stat().st_size
            time.sleep(_TRACED_WITHIN_S)
            helpers &= processes.untraced(leader)

            def harmed() -> str:
                with open(files.console, "rb") as console:
                    console.seek(before)
                    said = console.read()
                ended = _STUB_KILLED.search(said) or not all(map(processes.is_alive, helpers))
                return "one of its processes was ended from outside" if ended else ""

            return harmed

        return watch

    def _arguments(self, serial: int) -> list[str]:
        """What is in the guest's home is named as seen from there: the kernel takes its command line apart at blanks."""
        return [
            f"mem={self.memory_mib}M",
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            "quiet",
            "con=null",
            "con0=null,fd:1",
            f"ssl0=fd:{serial}",
            f"uml_dir={RUNTIME}",
            # t: no discard, which would turn the foreign stamps of the disk into holes
            *(f"ubd{number}t={disk}" for number, disk in enumerate(DISKS)),
            *self._first_program(),
        ]

    def _memory(self, home: Path) -> Path:
        """In memory, or what the guest writes to its memory would be written to a disk now and then."""
        held = memory_scratch(self.scratch) / self.run_id
        if home.parent == held or not held.is_dir():
            return home / RUNTIME
        place = held / home.name
        place.mkdir()
        return place

    def _modules(self) -> str:
        return f"--modules {MODULES}" if Path(MODULES).is_dir() else ""


def _looks_right(file: Path) -> bool:
    """Whether a file is a program with the banner of Linux (init/version.c) and the option by which User-mode Linux is
    told where to keep its files (arch/um/os-Linux/umid.c)."""
    if file.stat().st_size < len(_ELF):
        return False
    with open(file, "rb") as content, mmap.mmap(content.fileno(), 0, prot=mmap.PROT_READ) as whole:
        return whole[: len(_ELF)] == _ELF and all(whole.find(mark) >= 0 for mark in (b"Linux version ", b"uml_dir="))

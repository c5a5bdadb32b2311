"""The `uml` lab: a User-mode Linux kernel as an ordinary process. Needs no root and cannot hurt the host.

The guest reads and writes the host's files by hostfs, and the scratch disk is a `ubd` file. Killing only UML's main
process leaves helper processes that go on writing to the disk: the session is ended whole.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from devicemapper import tools
from torture.errors import BadRequest
from torture.lab.connection import Launch
from torture.lab.cores import on_one_core
from torture.lab.guest_lab import GuestFiles, GuestLab

PACKAGED_KERNEL = "linux.uml"
MODULES = "/usr/lib/uml/modules"
_ELF = b"\x7fELF"


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
        """See GuestLab."""
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

    def unavailable(self) -> str:
        """Why there can be no guest, "" if there can."""
        if any(character.isspace() for character in str(self.results)) or self.results.is_relative_to("/dev"):
            return f"the kernel cannot start from {self.results}: give --results a path without spaces, not below /dev"
        if not self.kernel and not self.default_kernel():
            return str(tools.CommandMissing(PACKAGED_KERNEL))
        return ""

    def _launcher(self, files: GuestFiles) -> Launch:
        kernel = self.check_kernel(self.kernel) if self.kernel else str(shutil.which(PACKAGED_KERNEL))
        shim = find_spec("torture.lab._xstate")
        preload = {"LD_PRELOAD": shim.origin} if shim and shim.origin else {}

        def launch(serial: int) -> subprocess.Popen[bytes]:
            with on_one_core():
                return self._spawn([kernel, *self._arguments(files, serial)], files, serial, preload)

        return launch

    def _arguments(self, files: GuestFiles, serial: int) -> list[str]:
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
            f"uml_dir={files.home}",
            # t: no discard, which would turn the foreign stamps of the disk into holes
            *(f"ubd{number}t={disk}" for number, disk in enumerate(files.disks)),
            f"init={files.init}",
            *self.kernel_arguments,
        ]

    def _modules(self) -> str:
        return f"--modules {MODULES}" if Path(MODULES).is_dir() else ""

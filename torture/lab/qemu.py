"""The `qemu` lab: a virtual machine with any bootable kernel, started by virtme-ng. SMP, and KVM where there is one.

virtme-run (of the virtme-ng package, a program, not a library) finds the kernel's modules, makes the initramfs that
mounts the host's files as root by 9p, and tells how to start qemu. The disks, the second 9p mount for the results, the
agent's serial line and the kernel's command line are added here.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from devicemapper import tools
from devicemapper.errors import BlockStackError
from torture.errors import BadRequest
from torture.lab.base import BOOT_TIMEOUT_S, GuestLost
from torture.lab.connection import Launch
from torture.lab.guest_lab import DISKS, OUTBOX, GuestFiles, GuestLab
from torture.lab.outbox import give
from torture.lab.sandbox import Confinement

CORES = 2
"""Each guest has so many: enough for its kernel threads to race with its workers."""
MEMORY_MIB = 1024
_EMULATION_SLOWER = 4
_IMAGES = (Path("/boot"), Path(sys.prefix) / "linux-image/boot")
"""Where kernels lie: those of the machine, and the one that `make qemu` unpacks."""
_MAGIC_OFFSET, _MAGIC = 0x202, b"HdrS"
_KVM, _PROCESSORS = "/dev/kvm", Path("/proc/cpuinfo")
_MODULES = "virtme_link_mods"
_VIRTME_TIMEOUT_S = 120.0
_INITRAMFS = "initramfs"


@dataclass(frozen=True, slots=True)
class QemuLab(GuestLab):
    """Guests of a bzImage, by default the running kernel's or else the newest in /boot."""

    name = "qemu"
    share = "9p"
    devices = ("/dev/vda", "/dev/vdb", "/dev/vdc")
    serial = "/dev/ttyS1"
    kernel_kind = "bzImage"

    memory_mib: int = MEMORY_MIB

    @staticmethod
    def in_words(kernel_path: str) -> str:
        """See GuestLab."""
        return f"in a virtual machine (qemu, {CORES} processors), kernel image {Path(kernel_path).name}"

    @property
    def boot_timeout_s(self) -> float:
        """Emulation takes its time."""
        return BOOT_TIMEOUT_S * (1 if has_kvm() else _EMULATION_SLOWER)

    @staticmethod
    def default_kernel() -> str:
        """The image of the running kernel, or another."""
        images = [_IMAGES[0] / f"vmlinuz-{platform.release()}"]
        for place in _IMAGES:
            images += sorted(place.glob("vmlinuz-*"), reverse=True)
        return str(next((image for image in images if os.access(image, os.R_OK)), ""))

    @staticmethod
    def check_kernel(path: str) -> str:
        """See GuestLab."""
        if not Path(path).is_file():
            raise BadRequest(f"--kernel {path}: no such file", "give the path of a bzImage or vmlinuz")
        if not is_boot_image(path):
            raise BadRequest(f"--kernel {path} is no bootable image", "give the path of a bzImage or vmlinuz")
        return str(Path(path).resolve())

    def unavailable(self) -> str:
        """Why there can be no guest, "" if there can."""
        if "\n" in str(self.scratch):
            return "virtme-run takes no path with a line break: give another --scratch"
        for program in (f"qemu-system-{platform.machine()}", "busybox"):
            if not _find(program):
                return str(tools.CommandMissing(program))
        if not _find("virtme-run"):
            return "virtme-run is not installed (virtme-ng on PyPI)"
        if not self.kernel and not self.default_kernel():
            return f"there is no kernel in {_IMAGES[0]} (Debian package linux-image-amd64), and none was named"
        return ""

    def _launcher(self, files: GuestFiles) -> Launch:
        command = [_find("virtme-run"), "--dry-run", "--show-command", "--kimg", self.kernel or self.default_kernel()]
        command += ["--mods", "auto", "--force-initramfs", "--save-initramfs", str(files.home / _INITRAMFS)]
        command += ["--force-9p", "--disable-microvm", "--disable-monitor", *([] if has_kvm() else ["--disable-kvm"])]
        command += ["--memory", f"{self.memory_mib}M", "--cpus", str(CORES)]
        try:
            told = tools.run(command, timeout_s=_VIRTME_TIMEOUT_S).stdout
            (files.home / _INITRAMFS).chmod(0o644)
        except BlockStackError as error:
            shutil.rmtree(files.home)
            raise GuestLost(str(error), "", files.console) from error
        machine = shlex.split(told.splitlines()[-1])
        parameters = ["console=ttyS0", "loglevel=4", "panic=-1", *_modules_in(machine)]
        machine += ["-no-reboot", "-append", " ".join((*parameters, *self._first_program()))]  # the last -append counts
        wall = self._qemu_wall(files)
        return lambda serial: self._spawn([*machine, *_devices(serial)], files, wall, [serial])

    def _qemu_wall(self, files: GuestFiles) -> Confinement:
        """What qemu needs besides what every guest may do: its initramfs, its complaints, which it opens by themselves
        (see virtme-run), and the processor."""
        files.errors.touch()
        give(files.errors, files.user)
        wall = self._wall(files, self.kernel or self.default_kernel())
        further = [str(files.errors), str(files.home / _INITRAMFS), *([_KVM] if has_kvm() else [])]
        return replace(wall, files=[*wall.files, *further], groups=[Path(_KVM).stat().st_gid] if has_kvm() else [])

    def _errors(self, console: Path) -> Path:
        """A file of its own, since qemu is told by virtme-run to empty it."""
        return console.with_suffix(".qemu.log")

    def _modules(self) -> str:
        """Where virtme-run prepared those of a kernel that is not installed; the kernel makes a variable of it."""
        return f'--load virtio_blk ${{{_MODULES}:+--modules "${_MODULES}"}}'


def is_boot_image(path: str) -> bool:
    """Whether a file is a bzImage (Documentation/arch/x86/boot.rst, "header")."""
    try:
        with open(path, "rb") as image:
            image.seek(_MAGIC_OFFSET)
            return image.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def has_kvm() -> bool:
    """Whether guests run on the processor, not by emulation: guests of root are another user, whom the group or everybody
    must allow it. A /dev/kvm that works without the processor's support for virtual machines was seen not to boot stock
    kernels."""
    if {"vmx", "svm"}.isdisjoint(_PROCESSORS.read_text().split()) or not os.access(_KVM, os.R_OK | os.W_OK):
        return False
    status = Path(_KVM).stat()
    by_group = status.st_gid != 0 and status.st_mode & 0o060 == 0o060
    return os.geteuid() != 0 or by_group or status.st_mode & 0o006 == 0o006


def _devices(serial: int) -> list[str]:
    """Options of qemu: what the machine has besides what virtme-run gives it; files as seen from the guest's home, since
    qemu takes options apart at commas."""
    words = ["-chardev", f"socket,id=serial,fd={serial}", "-serial", "chardev:serial"]
    for number, disk in enumerate(DISKS):  # without discard, as every disk by default
        words += ["-drive", f"if=none,id=disk{number},file={disk},format=raw"]
        words += ["-device", f"virtio-blk-pci,drive=disk{number}"]
    words += ["-fsdev", f"local,id=results,path={OUTBOX},security_model=none,multidevs=remap"]
    return [*words, "-device", "virtio-9p-pci,fsdev=results,mount_tag=results"]  # the name that torture.agent mounts


def _modules_in(machine: list[str]) -> list[str]:
    """The parameter of virtme-run's that names the modules, as its kernel is given it: in quotes if there are blanks, and
    with commas doubled, as only an option of qemu would need them."""
    words = re.findall(r'(?:[^\s"]|"[^"]*")+', machine[machine.index("-append") + 1])
    return [word.replace(",,", ",") for word in words if f"{_MODULES}=" in word]


def _find(program: str) -> str:
    """A program in the PATH, or beside the interpreter, where pip puts it; "" if there is none."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), beside))) or ""

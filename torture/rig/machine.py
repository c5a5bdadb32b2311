"""Where a trial runs: the disk, the directories and the rights that a lab gives it, and what its kernel can do.

What the kernel can do is probed, never concluded from a version.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from devicemapper import control, tools
from devicemapper.device import MappedDevice
from devicemapper.table import Table
from devicemapper.targets import Flakey, Zero
from torture.filesystems import Filesystem

_PROBE_SECTORS = 8
_FIRST_USER = 0x72000000
"""Of 1 << 24. systemd leaves 1879048192 to 2147352575 to nobody (its docs/UIDS-GIDS.md), and labs take others of them."""
_TARGET_MODULES = {"linear": "dm-mod", "error": "dm-mod", "thin": "dm-thin-pool"}


@dataclass(frozen=True, slots=True)
class Machine:
    """Handed to every trial in this kernel.

    `disk` is a block device or, where the lab has to make a loop device of it, an image file. `work` is a directory for
    mounts, off the device under test. `modules` is the tree that modprobe reads, "" for none. `spares` are further
    disks, empty where the lab has none. `expendable`: a guest whose power may be cut.
    """

    disk: Path
    work: Path
    run_id: str
    device_mapper: bool
    modules: str = ""
    spares: tuple[Path, ...] = ()
    expendable: bool = False

    @property
    def given(self) -> bool:
        """Whether the disk is a device of the machine that a user gave up: somebody may have come to use it since."""
        return self.disk.is_block_device() and not self.expendable

    @property
    def uid(self) -> int:
        """The user that workers run as, whom nobody else is: what else runs as `nobody` could meddle with them."""
        return _FIRST_USER + int.from_bytes(hashlib.sha256(self.run_id.encode()).digest()[:3], "big")

    @property
    def gid(self) -> int:
        """Their group, which is as much their own."""
        return self.uid


def load_module(name: str, modules: str) -> None:
    """Try to load a module; whether it helped is for the caller to probe."""
    argv = ["modprobe", "-q", *(["-d", modules] if modules else []), name]
    if tools.find("modprobe"):
        tools.run(argv, timeout_s=20, ok=(0, 1, 255))


def filesystem_missing(row: Filesystem, modules: str) -> str:
    """Why `row` cannot be tested here, "" if it can."""
    for program in row.programs:
        if not tools.find(program):
            return f"{program} is not installed (Debian package {row.package})"
    if row.type not in kernel_filesystems():
        load_module(row.type, modules)
    if row.type not in kernel_filesystems():
        return f"the kernel has no {row.type}"
    return ""


def kernel_filesystems() -> set[str]:
    """Filesystem types the running kernel knows now."""
    return {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}


def target_missing(target: str, machine: Machine) -> str:
    """Why device-mapper target `target`, or `flakey FEATURE`, cannot be used here, "" if it can."""
    if not machine.device_mapper:
        return "the kernel has no device-mapper"
    target, _, feature = target.partition(" ")
    if target not in _targets():
        load_module(_TARGET_MODULES.get(target, f"dm-{target}"), machine.modules)
    if target not in _targets():
        return f"the kernel has no dm-{target}"
    return _feature_missing(feature, machine) if feature else ""


def _feature_missing(feature: str, machine: Machine) -> str:
    """Why dm-flakey has no `feature` (a name with its arguments): a table with it is made, over a target of zeros."""
    if reason := target_missing("zero", machine):
        return reason
    zeros = MappedDevice(f"{machine.run_id}-probe-zeros", Table.single(Zero(), _PROBE_SECTORS))
    with zeros:
        flaky = Table.single(Flakey(str(zeros.path), 0, up_s=0, down_s=1, features=(feature,)), _PROBE_SECTORS)
        try:
            with MappedDevice(f"{machine.run_id}-probe-flakey", flaky):
                return ""
        except tools.CommandFailed:
            return f"dm-flakey of this kernel has no {feature.split()[0]}"


def _targets() -> frozenset[str]:
    try:
        return control.targets()
    except OSError:  # then dmsetup says in words what is wrong
        listed = tools.run(["dmsetup", "targets"], timeout_s=20).stdout
        return frozenset(line.split()[0] for line in listed.splitlines() if line.strip())


def has_device_mapper(modules: str) -> bool:
    """Whether device-mapper answers, after an attempt to load it. Needs root."""
    if not tools.find("dmsetup") or os.geteuid() != 0:
        return False
    if "device-mapper" not in Path("/proc/misc").read_text():
        load_module("dm-mod", modules)
    return "device-mapper" in Path("/proc/misc").read_text()

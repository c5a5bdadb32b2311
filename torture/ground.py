"""Where a trial runs: the disk, the directories and the rights that a lab gives it, and what its kernel can do.

What the kernel can do is probed, never concluded from a version.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from devicemapper import control, tools
from torture.filesystems import FILESYSTEMS, Filesystem

_TARGET_MODULES = {"linear": "dm-mod", "error": "dm-mod"}


@dataclass(frozen=True, slots=True)
class Ground:
    """Handed to every trial in this kernel.

    `disk` is a block device or, where the lab has to make a loop device of it, an image file. `work` is a directory for
    mounts, off the device under test. `modules` is the tree that modprobe reads, "" for none. Workers run as `uid`.
    `spares` are further disks, empty where the lab has none.
    """

    disk: Path
    work: Path
    run_id: str
    device_mapper: bool
    modules: str = ""
    uid: int = 65534
    gid: int = 65534
    spares: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one kernel can do, with a reason for everything that it cannot."""

    kernel: str
    filesystems: dict[str, str]
    targets: dict[str, str]

    def to_json(self) -> dict[str, object]:
        """Plain data; an empty reason means it can."""
        return asdict(self)


def load_module(name: str, modules: str) -> None:
    """Try to load a module; whether it helped is for the caller to probe."""
    argv = ["modprobe", "-q", *(["-d", modules] if modules else []), name]
    if tools.find("modprobe"):
        tools.run(argv, timeout_s=20, ok=(0, 1, 255))


def filesystem_missing(row: Filesystem, modules: str) -> str:
    """Why `row` cannot be tested here, "" if it can."""
    for program in (row.mkfs[0], row.check.argv[0]):
        if not tools.find(program):
            return f"{program} is not installed (Debian package {row.package})"
    if row.type not in kernel_filesystems():
        load_module(row.module or row.type, modules)
    if row.type not in kernel_filesystems():
        return f"the kernel has no {row.type}"
    return ""


def kernel_filesystems() -> set[str]:
    """Filesystem types the running kernel knows now."""
    return {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}


def target_missing(target: str, ground: Ground) -> str:
    """Why device-mapper target `target` cannot be used here, "" if it can."""
    if not ground.device_mapper:
        return "the kernel has no device-mapper"
    if target not in _targets():
        load_module(_TARGET_MODULES.get(target, f"dm-{target}"), ground.modules)
    return "" if target in _targets() else f"the kernel has no dm-{target}"


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


def probe(ground: Ground, targets: frozenset[str]) -> Capabilities:
    """Everything `doctor` asks of a kernel."""
    return Capabilities(
        kernel=platform.release(),
        filesystems={name: filesystem_missing(row, ground.modules) for name, row in FILESYSTEMS.items()},
        targets={name: target_missing(name, ground) for name in sorted(targets)},
    )

"""Refuses devices that must not be touched: the tool runs as root on machines people need (design.md section 6).

A device that the user names is taken only if nobody uses it: not mounted, no swap, no holder (dm, md, partitions), and
nobody has it open exclusively. Whatever is on it is described, so that the user confirms knowing what is lost.
"""

from __future__ import annotations

import os
from pathlib import Path

from devicemapper import tools
from torture.errors import BadRequest
from verify.descriptors import opened
from verify.stamp import SECTOR_BYTES


def check_device(device: Path, needed_bytes: int) -> None:
    """BadRequest unless `device` is a block device of at least `needed_bytes` that nobody uses."""
    if not device.is_block_device():
        raise BadRequest(f"--destroy {device} is not a block device", "give a whole disk or a partition under /dev")
    number = device.stat().st_rdev
    system = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
    for reason in (_mounted(number), _swap(device), _held(system), _opened(device)):
        if reason:
            raise BadRequest(f"--destroy {device}: {reason}", "only a device that nobody uses can be destroyed")
    size_bytes = int((system / "size").read_text()) * SECTOR_BYTES
    if size_bytes < needed_bytes:
        raise BadRequest(
            f"--destroy {device} has {size_bytes >> 20} MiB", f"a scratch disk needs at least {needed_bytes >> 20} MiB"
        )


def describe(device: Path) -> str:
    """What blkid finds on the device, in words for a confirmation."""
    found = tools.run(["blkid", "-p", "-o", "value", "-s", "TYPE", "-s", "PTTYPE", str(device)], 20, ok=(0, 2)).stdout
    return f"it holds {' and '.join(found.split())}" if found.strip() else "no signature was found on it"


def _mounted(number: int) -> str:
    """Field 3 of /proc/self/mountinfo is the device of each mount (proc_pid_mountinfo(5))."""
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return f"it is mounted on {fields[4]}"
    return ""


def _swap(device: Path) -> str:
    used = [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    return "it is in use as swap" if str(device.resolve()) in used else ""


def _held(system: Path) -> str:
    holders = [holder.name for holder in (system / "holders").glob("*")]
    partitions = [part.name for part in system.iterdir() if (part / "partition").exists()]
    if holders:
        return f"it is held by {', '.join(holders)}"
    return f"it has the partitions {', '.join(sorted(partitions))}" if partitions else ""


def _opened(device: Path) -> str:
    """open(2): without O_CREAT, O_EXCL on a block device fails with EBUSY if the system uses it."""
    try:
        with opened(device, os.O_RDWR | os.O_EXCL):
            return ""
    except OSError as error:
        return f"it cannot be opened for exclusive use ({error.strerror})"

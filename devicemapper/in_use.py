"""Whether somebody uses a block device, or what lies below it: asked before anything is written to it that was not made
for that.

The kernel refuses a second exclusive user (a mount, swap, dm, md), but not a program that opened the device as any file, as
a virtual machine does; and a loop device takes no claim on what it lies on.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devicemapper import loop, mounts
from devicemapper.errors import BlockStackError

_PASSING_S = 0.5
"""Who looks at a device for as long as blkid or udev do is no user of it."""


@dataclass(eq=False)
class DeviceInUse(BlockStackError):
    """A device that is to be overwritten is somebody's. `reason` is a sentence about it."""

    device: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.device}: {self.reason}"


def check(device: Path) -> None:
    """Raises DeviceInUse if anybody uses the device, or what lies below it."""
    if reason := why(device):
        raise DeviceInUse(device, reason)


def why(device: Path, *, claimed: bool = False) -> str:
    """By whom a block device is used, or what lies below it, as a sentence; "" if by nobody. `claimed`: this process itself
    has it open for exclusive use.

    All that this process can see: other processes' files as root, and in its pid namespace. What this process and those
    that started it have open does not count.
    """
    return next(_reasons(device, "it", claimed), "")


def _reasons(device: Path, name: str, claimed: bool) -> Iterator[str]:
    number = device.stat().st_rdev
    system = system_directory(number)
    yield from _mounted(number, name)
    yield from _swapped(_is_device(number), name)
    yield from _held(system, name)
    if not claimed and (reason := _claimed(device)):
        yield reason.replace("it", name, 1)
    yield from _opened(_is_device(number), name)
    yield from _below(system)


def _is_device(number: int) -> Callable[[os.stat_result], bool]:
    return lambda seen: stat.S_ISBLK(seen.st_mode) and seen.st_rdev == number


def _below(system: Path) -> Iterator[str]:
    """What is under a loop device, under the disk of a partition, or under the parts of a dm or md device.

    These parts themselves are claimed by what was made of them.
    """
    disk = system.parent if (system / "partition").exists() else system
    if (disk / "loop").is_dir():
        yield from _behind(node(disk))
    for part in (disk / "slaves").glob("*"):
        yield from _opened(_is_device(node(part).stat().st_rdev), f"{node(part)}, which lies below,")
        yield from _below(part.resolve())


def _behind(device: Path) -> Iterator[str]:
    """A loop device neither claims the device it lies on nor hinders a second one on the same file."""
    file = loop.backing(device)
    if file.block_number:
        below = node(system_directory(file.block_number))
        yield from _reasons(below, f"{below}, which lies below,", False)
        return
    name = f"the file behind {device}"
    for other in loop.attached():
        if other.path != device and _backing(other.path) == file:
            yield f"{name} is also behind {other.path}"

    def is_file(seen: os.stat_result) -> bool:
        return (seen.st_dev, seen.st_ino) == (file.device, file.inode)

    yield from _swapped(is_file, name)
    yield from _opened(is_file, name)


def _backing(device: Path) -> loop.Backing | None:
    try:
        return loop.backing(device)
    except OSError:
        return None  # it was detached while we looked


def system_directory(number: int) -> Path:
    """The directory of a block device in sysfs; `number` is st_rdev."""
    return Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()


def kernel_name(block_device: Path) -> str:
    """The kernel's name of a block device, such as dm-0, whatever its node is called."""
    return system_directory(block_device.stat().st_rdev).name


def node(system: Path) -> Path:
    """The device node that devtmpfs has for a directory of sysfs ("!" stands for a slash there)."""
    return Path("/dev") / system.name.replace("!", "/")


def _mounted(number: int, name: str) -> Iterator[str]:
    """Some filesystems, such as btrfs, have a device number of their own; their source is a device nevertheless."""
    for mount in mounts.all_mounts():
        if os.makedev(mount.major, mount.minor) == number or (mount.major == 0 and _number(mount.source) == number):
            yield f"{name} is mounted on {mount.mount_point}"


def _number(source: str) -> int:
    """st_rdev of a path that may be a block device, else -1."""
    if not source.startswith("/dev/"):
        return -1
    try:
        seen = Path(source).stat()
    except OSError:
        return -1
    return seen.st_rdev if stat.S_ISBLK(seen.st_mode) else -1


def _swapped(matches: Callable[[os.stat_result], bool], name: str) -> Iterator[str]:
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        try:
            if matches(Path(mounts.unescape(line.split()[0])).stat()):
                yield f"{name} is in use as swap"
        except OSError:
            continue  # a file that was removed, or lies in another mount namespace


def _held(system: Path, name: str) -> Iterator[str]:
    if holders := sorted(holder.name for holder in (system / "holders").glob("*")):
        yield f"{name} is held by {', '.join(holders)}"
    if parts := sorted(part.name for part in system.iterdir() if (part / "partition").exists()):
        yield f"{name} has the partitions {', '.join(parts)}"


def _claimed(device: Path) -> str:
    """open(2): without O_CREAT, O_EXCL on a block device fails with EBUSY if the system uses it."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return f"it cannot be opened for exclusive use ({error.strerror})"
    return ""


def _opened(matches: Callable[[os.stat_result], bool], name: str) -> Iterator[str]:
    """Only who has it open now and a moment later."""
    if found := set(_openers(matches)):
        time.sleep(_PASSING_S)
        for pid in sorted(found & set(_openers(matches))):
            yield f"process {pid} ({_command(pid)}) has {'it' if name == 'it' else name.rstrip(',')} open"


def _openers(matches: Callable[[os.stat_result], bool]) -> Iterator[int]:
    """Processes, other than this one and its ancestors, with an open file that matches (/proc/PID/fd, proc_pid_fd(5))."""
    family = set(_family())
    for directory in Path("/proc").glob("[0-9]*/fd"):
        pid = int(directory.parent.name)
        if pid not in family and any(map(matches, _open_files(directory))):
            yield pid


def _family() -> Iterator[int]:
    """This process and its ancestors (field 4 of /proc/PID/stat, proc_pid_stat(5))."""
    pid = os.getpid()
    while pid:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            return  # it ended, and we are somebody else's child by now


def _open_files(directory: Path) -> Iterator[os.stat_result]:
    try:
        entries = list(directory.iterdir())
    except OSError:
        return  # the process is gone, or somebody else's
    for entry in entries:
        try:
            if str(entry.readlink()).startswith("/"):
                yield entry.stat()
        except OSError:
            continue  # closed by now


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "gone by now"

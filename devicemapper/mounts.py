"""Mounting and unmounting by system call: no process to start, and the errno is known.

A mount or unmount can block for ever in the kernel (a suspended device, a filesystem bug), so each call runs in a
thread that is waited for only so long.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devicemapper import libc
from devicemapper.errors import BlockStackError
from verify.descriptors import opened

MOUNT_TIMEOUT_S = 120.0
UNMOUNT_TIMEOUT_S = 120.0
"""As long as the kernel itself waits before it reports a hung task (kernel/hung_task.c)."""
BUSY_TIMEOUT_S = 10.0

FLAGS = {
    "ro": 0x1,
    "nosuid": 0x2,
    "nodev": 0x4,
    "noexec": 0x8,
    "sync": 0x10,
    "dirsync": 0x80,
    "noatime": 0x400,
    "nodiratime": 0x800,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
    "lazytime": 1 << 25,
}
"""Options that are flags of mount(2), include/uapi/linux/mount.h; all others go to the filesystem."""

_ALWAYS = FLAGS["nosuid"] | FLAGS["nodev"] | FLAGS["noexec"]
"""Nothing on a filesystem under test is a program, a privilege or a device: it may be a stranger's image."""
_UMOUNT_NOFOLLOW = 8
_OWN_MOUNTS = Path("/proc/thread-self/mountinfo")
"""/proc/self shows the namespace of the first thread, whichever thread reads (devicemapper.namespaces)."""
_DEFAULTS = ("", "rw", "defaults")
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.2


@dataclass(eq=False)
class MountFailed(BlockStackError):
    """mount(2) said no."""

    device: Path
    directory: Path
    fstype: str
    options: tuple[str, ...]
    errno: int

    def __str__(self) -> str:
        options = f" -o {','.join(self.options)}" if self.options else ""
        return f"mount -t {self.fstype}{options} {self.device} {self.directory}: {os.strerror(self.errno)}"


@dataclass(eq=False)
class UnmountFailed(BlockStackError):
    """umount2(2) said no, EBUSY included if it stayed busy."""

    directory: Path
    errno: int

    def __str__(self) -> str:
        return f"umount {self.directory}: {os.strerror(self.errno)}"


@dataclass(eq=False)
class MountHung(BlockStackError):
    """mount(2) or umount2(2) did not return."""

    call: str
    """The name of the system call."""
    directory: Path
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.call} of {self.directory} did not return within {self.timeout_s:g} s"


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo (proc(5)), escapes decoded."""

    mount_point: Path
    source: str
    major: int
    minor: int
    options: tuple[str, ...] = ()
    """Those of the mount, then those of the filesystem."""


@contextlib.contextmanager
def mount(
    device: Path, directory: Path, fstype: str, options: Sequence[str] = (), timeout_s: float = MOUNT_TIMEOUT_S
) -> Iterator[Path]:
    """`device` mounted on `directory` for as long as the context lasts; `unmount` then raises what it raises.

    Always nosuid, nodev and noexec, whatever the options say. Raises MountFailed with the errno, or MountHung.
    """
    words = [word for option in options for word in option.split(",") if word not in _DEFAULTS]
    flags = _ALWAYS | sum({FLAGS[word] for word in words if word in FLAGS})
    rest = ",".join(word for word in words if word not in FLAGS)
    arguments = (os.fsencode(device), os.fsencode(directory), fstype.encode(), flags, os.fsencode(rest))
    try:
        _bounded("mount", directory, lambda: libc.mount(*arguments), timeout_s)
    except OSError as error:
        raise MountFailed(device, directory, fstype, tuple(options), error.errno or 0) from error
    try:
        yield directory
    finally:
        unmount(directory)


def unmount(directory: Path, timeout_s: float = UNMOUNT_TIMEOUT_S, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
    """Unmount the topmost filesystem mounted on `directory`.

    EBUSY is retried for `busy_timeout_s` (a killed process needs a moment to let go, and nothing announces that), then
    UnmountFailed. Raises MountHung if one call does not return within `timeout_s`.
    """
    deadline = time.monotonic() + busy_timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return _bounded("umount", directory, lambda: libc.unmount(os.fsencode(directory), _UMOUNT_NOFOLLOW), timeout_s)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() >= deadline:
                raise UnmountFailed(directory, error.errno or 0) from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def mounts_under(directory: Path) -> tuple[Path, ...]:
    """The mount points on `directory` and below it, in the order in which they were mounted."""
    home = directory.resolve()
    return tuple(mount.mount_point for mount in all_mounts() if mount.mount_point.is_relative_to(home))


def mount_point_of(path: Path) -> Path:
    """Where the filesystem is mounted by which `path` is reached."""
    real = path.resolve()
    places = [mount.mount_point for mount in all_mounts() if real.is_relative_to(mount.mount_point)]
    return max(places, key=lambda place: len(place.parts), default=Path("/"))


def all_mounts() -> Iterator[Mount]:
    """Those of this thread's mount namespace, in the order in which they were made."""
    return map(parse_mountinfo, _OWN_MOUNTS.read_text(errors="surrogateescape").splitlines())


def reap(directory: Path, timeout_s: float = UNMOUNT_TIMEOUT_S) -> tuple[Path, ...]:
    """Unmount everything on `directory` and below it, last mounted first. Returns the mount points.

    Resume suspended devices first: unmounting would hang.
    """
    left = mounts_under(directory)[::-1]
    if Path("/") in left:
        raise ValueError("every mount of this machine is below /")
    for place in left:
        thaw(place)
        unmount(place, timeout_s)
    return left


def thaw(directory: Path) -> bool:
    """Thaw the filesystem mounted on `directory`; False if it was not frozen, or cannot even be opened.

    One that stays frozen when its last mount goes can only be thawed by mounting it again, and keeps its device:
    freezing takes a reference to the superblock (freeze_super() in fs/super.c).
    """
    try:
        with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            libc.thaw(descriptor)
    except OSError:
        # It was shut down, for instance, which the unmount tells. EINVAL: not frozen; EOPNOTSUPP, ENOTTY: cannot be.
        return False
    return True


def parse_mountinfo(line: str) -> Mount:
    """One line of mountinfo: `ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [FIELD...] - FSTYPE SOURCE OPTIONS`."""
    before, _, after = line.partition(" - ")
    _, _, number, _, place, flags, *_ = before.split(" ")
    major, minor = number.split(":")
    _, source, own, *_ = after.split(" ")
    options = (*flags.split(","), *own.split(","))
    return Mount(Path(unescape(place)), unescape(source), int(major), int(minor), tuple(dict.fromkeys(options)))


def unescape(word: str) -> str:
    r"""Space, tab, newline, backslash and # are written \ooo (show_mountinfo() and mangle() in the kernel)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def _bounded(name: str, directory: Path, call: Callable[[], object], timeout_s: float) -> None:
    """Do a call in a thread of its own; its OSError is raised here, MountHung if it does not return."""
    outcome: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()

    def carry_out() -> None:
        try:
            call()
            outcome.put(None)
        except OSError as error:
            outcome.put(error)

    threading.Thread(target=carry_out, name=f"{name} {directory}", daemon=True).start()
    try:
        error = outcome.get(timeout=timeout_s)
    except queue.Empty:
        raise MountHung(name, directory, timeout_s) from None
    if error is not None:
        raise error

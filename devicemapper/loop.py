"""Loop devices over backing files, through losetup(8).

Which loop devices exist is read from sysfs (loop_attr_* in drivers/block/loop.c), which costs no command.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from devicemapper import mounts, orphans, tools, uevents
from devicemapper.errors import BlockStackError
from verify.descriptors import opened

COMMAND_TIMEOUT_S = 30.0
DETACH_TIMEOUT_S = 10.0

_LOOP_GET_STATUS64, _LOOP_INFO64_BYTES = 0x4C05, 232
_DELETED = " (deleted)"  # d_path() says so of an unlinked file


@dataclass(eq=False)
class LoopBusy(BlockStackError):
    """A loop device that was told to detach is still held open by somebody."""

    path: Path
    backing_file: Path
    timeout_s: float

    def __str__(self) -> str:
        return f"{self.path} is still in use {self.timeout_s:g} s after losetup -d; it holds {self.backing_file}"


@dataclass(frozen=True, slots=True)
class Attached:
    """A loop device in use."""

    path: Path
    backing_file: Path
    """Where the file is, or was if it is deleted by now."""


@dataclass(frozen=True, slots=True)
class Backing:
    """The file behind a loop device."""

    device: int
    """st_dev of stat(2)."""
    inode: int
    block_number: int
    """st_rdev, if it is itself a block device; else 0."""


class LoopDevice:
    """A loop device that exists from `__enter__` to `__exit__`.

    `size_bytes` limits it to the first bytes of the file (None: all of it). I/O goes through the file's page cache.
    """

    def __init__(self, backing_file: Path, *, size_bytes: int | None = None) -> None:
        self.backing_file = backing_file.resolve()
        self._options = ["--direct-io=off"]
        if size_bytes is not None:
            self._options += ["--sizelimit", str(size_bytes)]
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The device node, once it is attached."""
        if self._path is None:
            raise ValueError(f"{self.backing_file} is not attached to a loop device")
        return self._path

    def __enter__(self) -> Self:
        argv = ["losetup", "--find", "--show", *self._options, str(self.backing_file)]
        self._path = Path(tools.run(argv, COMMAND_TIMEOUT_S).stdout.strip())
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def detach(self, timeout_s: float = DETACH_TIMEOUT_S) -> None:
        """Detach it if it is attached. Raises LoopBusy if somebody keeps it open for longer than `timeout_s`."""
        if self._path is not None:
            _detach(self._path, self.backing_file, timeout_s)
            self._path = None


def attached() -> Iterator[Attached]:
    """The loop devices in use on this kernel."""
    for directory in Path("/sys/block").glob("loop*/loop"):
        try:
            backing_file = (directory / "backing_file").read_text().removesuffix("\n")
        except OSError:
            continue  # it was detached while we read
        yield Attached(Path("/dev") / directory.parent.name, Path(backing_file.removesuffix(_DELETED)))


def reap(directory: Path, timeout_s: float = DETACH_TIMEOUT_S) -> tuple[Path, ...]:
    """Detach every loop device whose backing file is, or was, in `directory` or below. Returns the devices.

    Unmount and remove what is on them first. A filesystem that is still frozen after its last mount is thawed.
    """
    home = directory.resolve()
    if home == Path("/"):
        raise ValueError("every loop device of this machine is below /")
    left = [device for device in attached() if _lies_in(device, home)]
    for device in left:
        try:
            _detach(device.path, device.backing_file, timeout_s)
        except LoopBusy:
            if not orphans.thaw(device.path):
                raise
            _detach(device.path, device.backing_file, timeout_s)
    return tuple(device.path for device in left)


def _lies_in(device: Attached, home: Path) -> bool:
    """Of a device that was attached in another mount namespace, the kernel tells where its file lies in the mount that it
    was reached by, and no more (d_path() in fs/d_path.c)."""
    if device.backing_file.is_relative_to(home):
        return True
    inside = Path("/") / home.relative_to(mounts.mount_point_of(home))
    if not home.exists() or not device.backing_file.is_relative_to(inside):
        return False
    try:
        return backing(device.path).device == home.stat().st_dev
    except OSError:
        return False  # it was detached while we looked


def backing(path: Path) -> Backing:
    """The file behind a loop device, wherever it can be reached. OSError with ENXIO if there is none (LOOP_GET_STATUS64 of
    loop(4); struct loop_info64 in include/uapi/linux/loop.h)."""
    with opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
        info = fcntl.ioctl(descriptor, _LOOP_GET_STATUS64, bytes(_LOOP_INFO64_BYTES))
    device, inode, block_number = struct.unpack_from("=QQQ", info)
    return Backing(_decoded(device), inode, _decoded(block_number))


def _decoded(encoded: int) -> int:
    """A device number as the kernel hands it out, huge_encode_dev() in include/linux/kdev_t.h, for os.major()."""
    return os.makedev((encoded >> 8) & 0xFFF, (encoded & 0xFF) | ((encoded >> 12) & 0xFFF00))


def _detach(path: Path, backing_file: Path, timeout_s: float) -> None:
    """losetup succeeds on a device that is open: the kernel then sets autoclear and detaches at the last close."""

    def gone() -> bool:
        return not any(device.path == path and device.backing_file == backing_file for device in attached())

    if gone():
        return
    try:
        tools.run(["losetup", "--detach", str(path)], COMMAND_TIMEOUT_S)
    except tools.CommandFailed:
        if not gone():
            raise
    if not uevents.wait_until(gone, timeout_s):
        raise LoopBusy(path, backing_file, timeout_s)

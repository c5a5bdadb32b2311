"""Where the bytes of a file lie on its device, by FIEMAP (Documentation/filesystems/fiemap.rst)."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verify.descriptors import opened

_FS_IOC_FIEMAP = 0xC020660B
_FLAG_SYNC = 1
_LAST, _UNKNOWN, _DELALLOC, _ENCODED, _NOT_ALIGNED, _UNWRITTEN = 0x1, 0x2, 0x4, 0x8, 0x100, 0x800
_NOWHERE = _UNKNOWN | _DELALLOC | _ENCODED | _NOT_ALIGNED
_HEAD = struct.Struct("=QQIIII")  # struct fiemap: start, length, flags, mapped extents, extents wanted, reserved
_EXTENT = struct.Struct("=QQQ16xI12x")  # struct fiemap_extent: logical, physical, length, flags
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a file that lies in one piece on its device."""

    offset_bytes: int
    """Where it begins in the file."""
    device_bytes: int
    """Where it begins on the device."""
    length_bytes: int
    unwritten: bool
    """It reads as zeros whatever the device holds there."""


def extents(path: Path) -> tuple[Extent, ...]:
    """The extents of a file that have a place, in order; delayed allocation is done first.

    On btrfs the addresses are its own and not the device's. Raises OSError (EOPNOTSUPP) where there is no FIEMAP.
    """
    with opened(path) as descriptor:
        return tuple(_extents(descriptor))


def extent_table(path: Path) -> str:
    """The extents of a file in lines, for people. Raises OSError as `extents` does."""
    lines = [
        f"  file bytes {each.offset_bytes:>10} + {each.length_bytes:<10} device bytes {each.device_bytes:>12}"
        f"{'  unwritten' if each.unwritten else ''}\n"
        for each in extents(path)
    ]
    return "".join([f"{path.name}: {len(lines)} extents\n", *lines])


def write_and_wait(descriptor: int) -> None:
    """Have what is dirty written and wait for the whole file, as FIEMAP_FLAG_SYNC does; no descriptor is told of an error.

    Raises OSError: EOPNOTSUPP where there is no FIEMAP, or what the writing came to.
    """
    _ask(descriptor, 0, 0)


def _ask(descriptor: int, start: int, most: int) -> tuple[bytearray, int]:
    """The answer of FIEMAP to a question for so many extents, and how many it holds."""
    request = bytearray(_HEAD.size + most * _EXTENT.size)
    _HEAD.pack_into(request, 0, start, 2**64 - 1 - start, _FLAG_SYNC, 0, most, 0)
    fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, request, True)
    return request, _HEAD.unpack_from(request)[3]


def _extents(descriptor: int) -> Iterator[Extent]:
    start = 0
    while True:
        request, mapped = _ask(descriptor, start, _BATCH)
        flags = _LAST
        for index in range(mapped):
            offset, place, length, flags = _EXTENT.unpack_from(request, _HEAD.size + index * _EXTENT.size)
            start = offset + length
            if not flags & _NOWHERE:
                yield Extent(offset, place, length, bool(flags & _UNWRITTEN))
        if not mapped or flags & _LAST:
            return

"""Device-mapper's own ioctls, for what is done so often that a dmsetup(8) process each time would be the main cost.

Replaying a log builds thousands of short-lived tables, and every trial makes, swaps and removes a device; a process
costs 40 ms in an idle User-mode Linux, an ioctl 0.1 ms. Layouts and numbers are those of include/uapi/linux/dm-ioctl.h.
Needs CAP_SYS_ADMIN. Raises OSError with the errno of the ioctl.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from devicemapper.table import Table
from verify.descriptors import opened

CONTROL = Path("/dev/mapper/control")

_VERSION = (4, 0, 0)
_HEADER = struct.Struct("=3I2I I i 3I Q 128s 129s 7x")  # struct dm_ioctl, 312 bytes
_TARGET = struct.Struct("=QQiI16s")  # struct dm_target_spec
_DISTANCE, _VERSIONS_HEAD_BYTES = struct.Struct("=I"), 16  # struct dm_target_versions: next, version[3], name
_SECTOR = struct.Struct("=Q")  # struct dm_target_msg, before its text
_DEV_CREATE, _DEV_REMOVE, _DEV_SUSPEND, _TABLE_LOAD, _LIST_VERSIONS, _TARGET_MSG = 3, 4, 6, 9, 13, 14
_DEVICE_FIELD = 10
_SKIP_LOCKFS_FLAG = 1 << 10
_ALIGNMENT_BYTES = 8
_LIST_BYTES = 16384


def create(name: str) -> int:
    """Make device `name`, without a table yet. Returns its device number."""
    answer = _control(_DEV_CREATE, name)
    return int(_HEADER.unpack_from(answer)[_DEVICE_FIELD])


def remove(name: str) -> None:
    """Remove device `name`. EBUSY while somebody has it open."""
    _control(_DEV_REMOVE, name)


def targets() -> frozenset[str]:
    """The kinds of targets that the kernel has now: struct dm_target_versions, one after the other."""
    answer = _control(_LIST_VERSIONS, "", bytes(_LIST_BYTES))
    place, found = _HEADER.size, set()
    while True:
        (distance,) = _DISTANCE.unpack_from(answer, place)
        name = answer[place + _VERSIONS_HEAD_BYTES : answer.index(b"\0", place + _VERSIONS_HEAD_BYTES)]
        if name:
            found.add(name.decode())
        if not distance:
            return frozenset(found)
        place += distance


def load_table(name: str, table: Table) -> None:
    """Load `table` into the inactive slot of device `name`; `resume` puts it in force."""
    _control(_TABLE_LOAD, name, _targets(table), target_count=len(table.segments))


def resume(name: str) -> None:
    """Put the loaded table in force, without freezing or syncing a filesystem above (do_resume(), dm-ioctl.c)."""
    _control(_DEV_SUSPEND, name, flags=_SKIP_LOCKFS_FLAG)


def send(name: str, message: str, sector: int = 0) -> None:
    """Send `message` to the target that maps `sector` (in sectors of 512 bytes), as `dmsetup message` does."""
    _control(_TARGET_MSG, name, _SECTOR.pack(sector) + message.encode() + b"\0")


def _targets(table: Table) -> bytes:
    """The specs of all segments, each with its arguments and the distance to the next."""
    specs = []
    for segment in table.segments:
        arguments = " ".join(segment.target.arguments()).encode() + b"\0"
        length = -(-(_TARGET.size + len(arguments)) // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        head = _TARGET.pack(segment.start_sectors, segment.length_sectors, 0, length, segment.target.kind.encode())
        specs.append((head + arguments).ljust(length, b"\0"))
    return b"".join(specs)


def _control(command: int, name: str, payload: bytes = b"", *, target_count: int = 0, flags: int = 0) -> bytearray:
    size = _HEADER.size + len(payload)
    header = _HEADER.pack(*_VERSION, size, _HEADER.size, target_count, 0, flags, 0, 0, 0, name.encode(), b"")
    request = 3 << 30 | _HEADER.size << 16 | 0xFD << 8 | command  # _IOWR(DM_IOCTL, command, struct dm_ioctl)
    buffer = bytearray(header + payload)
    with opened(CONTROL, os.O_RDWR) as descriptor:
        fcntl.ioctl(descriptor, request, buffer, True)
    return buffer

"""Reads the log of dm-log-writes: every write that the device took, in the order in which it became durable.

The format is that of drivers/md/dm-log-writes.c, little endian. Sector 0 holds magic, version, number of entries and
sector size. Each entry is one sector {sector u64, sectors u64, flags u64, length of the mark u64, text of the mark}
and, unless it is a discard, the data written. A write is logged when the flush after its completion completes, a FUA
write when it completes itself, so whatever stands before a point of the log was durable then. A log device that is full
stops the logging, and only `logging_disabled` in the status tells.

One buffer, however long the log. Positions and lengths are in sectors of 512 bytes unless they say otherwise.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

from devicemapper.errors import BlockStackError
from devicemapper.status import Status
from verify.closing import Closing
from verify.stamp import SECTOR_BYTES

LOGGING_DISABLED = "logging_disabled"

_MAGIC = 0x6A736677736872
_VERSION = 1
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_BUFFER_BYTES = 4 << 20
_LOG_SECTORS_BYTES = (512, 1024, 2048, 4096)


class Flag(IntFlag):
    """What kind of write it was."""

    FLUSH = 1
    FUA = 2
    DISCARD = 4
    MARK = 8
    METADATA = 16


@dataclass(eq=False)
class LogDamaged(BlockStackError):
    """The log is not one, or ends early."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is no log of dm-log-writes: {self.reason}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log."""

    index: int
    """Counts from 0."""
    sector: int
    """Where it was written to on the device."""
    sectors: int
    flags: Flag
    mark: str
    """The text of a mark, "" of anything else."""
    offset_bytes: int
    """Where its data begins in the log."""

    def __str__(self) -> str:
        flags = "|".join(flag.name or "" for flag in self.flags) or "write"
        return f"{self.index}: {flags} {self.sector}+{self.sectors}{' ' if self.mark else ''}{self.mark}"

    @property
    def writes(self) -> bool:
        """Whether it put data on the disk."""
        return self.sectors > 0 and not self.flags & (Flag.DISCARD | Flag.MARK)

    @property
    def is_barrier(self) -> bool:
        """Whether it is a FLUSH or a FUA write."""
        return bool(self.flags & (Flag.FLUSH | Flag.FUA))


class LogReader(Closing):
    """A log device or file, read around the page cache where it is a device; a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | (os.O_DIRECT if path.is_block_device() else 0))
        self._buffer = memoryview(mmap.mmap(-1, _BUFFER_BYTES))
        self._start_bytes = self._end_bytes = 0

    def close(self) -> None:
        """Read no more."""
        os.close(self._descriptor)

    def entries(self) -> Iterator[Entry]:
        """All entries in order. LogDamaged if there is no log, or it is shorter than it says."""
        magic, version, count, log_sector_bytes = _SUPER.unpack_from(self._view(0, SECTOR_BYTES))
        if (magic, version) != (_MAGIC, _VERSION) or log_sector_bytes not in _LOG_SECTORS_BYTES:
            raise LogDamaged(self._path, f"magic {magic:#x}, version {version}, sectors of {log_sector_bytes} bytes")
        scale = log_sector_bytes // SECTOR_BYTES
        offset_bytes = log_sector_bytes
        for index in range(count):
            entry = self._entry(index, offset_bytes, log_sector_bytes, scale)
            offset_bytes = entry.offset_bytes + (entry.sectors * SECTOR_BYTES if entry.writes else 0)
            yield entry

    def data(self, entry: Entry, first_sector: int = 0, sectors: int | None = None) -> Iterator[tuple[int, memoryview]]:
        """What `sectors` of the entry, from its `first_sector` on, put where: (sector of the device, content), in
        pieces.

        A piece is good until the next call of anything.
        """
        left = (entry.sectors - first_sector if sectors is None else sectors) * SECTOR_BYTES
        done_bytes = first_sector * SECTOR_BYTES
        while left:
            take = min(left, _BUFFER_BYTES)
            yield entry.sector + done_bytes // SECTOR_BYTES, self._view(entry.offset_bytes + done_bytes, take)
            done_bytes, left = done_bytes + take, left - take

    def _entry(self, index: int, offset_bytes: int, log_sector_bytes: int, scale: int) -> Entry:
        head = self._view(offset_bytes, log_sector_bytes)
        sector, sectors, flags, mark_bytes = _ENTRY.unpack_from(head)
        if mark_bytes > log_sector_bytes - _ENTRY.size:
            raise LogDamaged(self._path, f"entry {index} has a mark of {mark_bytes} bytes")
        mark = bytes(head[_ENTRY.size : _ENTRY.size + mark_bytes]).rstrip(b"\0").decode(errors="replace")
        after = offset_bytes + log_sector_bytes
        return Entry(index, sector * scale, sectors * scale, Flag(flags), mark, after)

    def _view(self, offset_bytes: int, length_bytes: int) -> memoryview:
        """A part of the log; reads on from there when the buffer does not hold all of it."""
        if not self._start_bytes <= offset_bytes or offset_bytes + length_bytes > self._end_bytes:
            got = os.preadv(self._descriptor, [self._buffer], offset_bytes)
            self._start_bytes, self._end_bytes = offset_bytes, offset_bytes + got
            if got < length_bytes:
                raise LogDamaged(self._path, f"it ends at byte {offset_bytes + got}")
        at = offset_bytes - self._start_bytes
        return self._buffer[at : at + length_bytes]


def is_logging(status: Sequence[Status]) -> bool:
    """Whether the log-writes target of a device still logs; ValueError if the device has none."""
    rest = [each.rest for each in status if each.kind == "log-writes"]
    if not rest:
        raise ValueError("no log-writes target among " + ", ".join(each.kind for each in status))
    return LOGGING_DISABLED not in rest[0]

"""The disk that advances along a log of writes, and the crash states that are built on it.

The scratch disk always holds a prefix of the log. A state is that disk seen through a transient snapshot, which takes
the writes that reached the disk out of order, the journal recovery of the mount and everything after it, and is then
forgotten. All reading and writing of devices is direct, so that no page cache tells of an earlier state.
"""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from devicemapper.device import MappedDevice
from devicemapper.log_writes import Entry, LogReader
from devicemapper.table import Table
from devicemapper.targets import Linear, Snapshot
from torture.crash.states import CrashState, Piece
from torture.errors import StepFailed
from verify import stamp
from verify.descriptors import opened
from verify.stamp import SECTOR_BYTES

UNIT_SECTORS = 8
"""Metadata is not torn within 4 KiB: btrfs's and f2fs's super blocks and xfs's skipping of newer blocks at recovery
rely on that. File data, known by its stamps, is torn at any sector."""

_CHUNK_SECTORS = 2048


class Contents:
    """A name for the content of a whole disk, kept up to date at the cost of what is written; `name` 0: as at first."""

    def __init__(self, length_sectors: int) -> None:
        self._sums = array("q", bytes(8 * length_sectors))
        self.name = 0

    def put(self, sector: int, content: memoryview) -> None:
        """These sectors are written."""
        for place, new in _sums(sector, content):
            self.name ^= hash((place, self._sums[place])) ^ hash((place, new))
            self._sums[place] = new

    def name_with(self, pieces: Iterable[tuple[int, memoryview]]) -> int:
        """The name that it would have if these were written too."""
        over: dict[int, int] = {}
        for sector, content in pieces:
            over.update(_sums(sector, content))
        name = self.name
        for place, new in over.items():
            name ^= hash((place, self._sums[place])) ^ hash((place, new))
        return name

    def written(self) -> Iterator[tuple[int, int]]:
        """(first sector, sectors) of the chunks of the disk in which anything was written."""
        for first in range(0, len(self._sums), _CHUNK_SECTORS):
            part = self._sums[first : first + _CHUNK_SECTORS]
            if any(part):
                yield first, len(part)

    def differs(self, sector: int, content: memoryview) -> bool:
        """Whether a written sector of these has another content."""
        return any(self._sums[place] not in (0, found) for place, found in _sums(sector, content))


class CrashDisk:
    """`scratch` is the device that advances, `mapped` shows the states, `store` takes what is written to them."""

    def __init__(self, scratch: Path, mapped: MappedDevice, store: Path, log: LogReader, length_sectors: int) -> None:
        self._scratch, self._mapped, self._log = scratch, mapped, log
        self._table = Table.single(Snapshot(str(scratch), str(store), UNIT_SECTORS), length_sectors)
        self._plain = Table.single(Linear(str(scratch)), length_sectors)
        self._contents = Contents(length_sectors)

    def advance(self, entry: Entry) -> None:
        """Put one write on the disk. No state may be mounted."""
        with opened(self._scratch, os.O_WRONLY | os.O_DIRECT) as descriptor:
            for sector, content in self._log.data(entry):
                self._contents.put(sector, content)
                _write(descriptor, sector, content)

    def name_of(self, state: CrashState) -> int:
        """Equal states have equal names."""
        return self._contents.name_with(part for piece in state.extra for part in self._data(piece))

    def build(self, state: CrashState) -> None:
        """Have `mapped` show the state, whatever was written to it before.

        A snapshot table inherits what the table in force has on the same store (snapshot_ctr(), dm-snap.c), so that one
        has to go first.
        """
        self._mapped.exchange_table(self._plain)
        self._mapped.exchange_table(self._table)
        if not state.extra:
            return
        with opened(self._mapped.path, os.O_WRONLY | os.O_DIRECT) as descriptor:
            for piece in state.extra:
                for sector, content in self._data(piece):
                    _write(descriptor, sector, content)

    def _data(self, piece: Piece) -> Iterator[tuple[int, memoryview]]:
        if piece.sectors < piece.entry.sectors and not self._is_file_data(piece.entry):
            piece = piece.widened(UNIT_SECTORS)
        return self._log.data(piece.entry, piece.first_sector, piece.sectors)

    def _is_file_data(self, entry: Entry) -> bool:
        _, content = next(self._log.data(entry, 0, 1))
        return stamp.classify(content).look is stamp.SectorLook.STAMP


def check_complete(contents: Contents, live: Path) -> None:
    """StepFailed unless the disk that was written to, `live`, holds what the log says was written last."""
    buffer = memoryview(mmap.mmap(-1, _CHUNK_SECTORS * SECTOR_BYTES))
    with opened(live, os.O_RDONLY | os.O_DIRECT) as descriptor:
        for first, sectors in contents.written():
            view = buffer[: sectors * SECTOR_BYTES]
            os.preadv(descriptor, [view], first * SECTOR_BYTES)
            if contents.differs(first, view):
                raise StepFailed("log of writes", f"the disk differs from the log near sector {first}")


def keep_image(device: Path, length_sectors: int, image: Path, keep_foreign: bool) -> None:
    """A sparse copy of a whole device, without its foreign stamps unless they matter."""
    buffer = memoryview(mmap.mmap(-1, _CHUNK_SECTORS * SECTOR_BYTES))
    with opened(device, os.O_RDONLY | os.O_DIRECT) as reading, open(image, "wb") as writing:
        writing.truncate(length_sectors * SECTOR_BYTES)
        for first in range(0, length_sectors, _CHUNK_SECTORS):
            view = buffer[: min(_CHUNK_SECTORS, length_sectors - first) * SECTOR_BYTES]
            os.preadv(reading, [view], first * SECTOR_BYTES)
            for at in range(0, len(view), mmap.PAGESIZE):
                page = bytes(view[at : at + mmap.PAGESIZE])
                if any(page) and (keep_foreign or not stamp.is_foreign(page[:SECTOR_BYTES])):
                    os.pwrite(writing.fileno(), page, first * SECTOR_BYTES + at)


def _sums(sector: int, content: memoryview) -> Iterator[tuple[int, int]]:
    for at in range(0, len(content), SECTOR_BYTES):
        yield sector + at // SECTOR_BYTES, hash(bytes(content[at : at + SECTOR_BYTES])) or 1


def _write(descriptor: int, sector: int, content: memoryview) -> None:
    if os.pwritev(descriptor, [content], sector * SECTOR_BYTES) != len(content):
        raise StepFailed("replay", f"the disk took only a part of {len(content)} bytes at sector {sector}")

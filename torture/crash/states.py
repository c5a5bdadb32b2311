"""Which disks a power loss could have left, from the log of writes. Pure.

The log is in the order in which writes became durable (devicemapper.log_writes), so every prefix of it that ends at a
barrier or mark is a disk that could have been left. Between two barriers a volatile cache may have kept any of the
writes that the second one flushed, in any order: a seeded sample of those is drawn. Later writes may not have been
issued yet and are never taken. All that was durable before is always there, so no legal filesystem can be accused.

A mark is the ledger position whose syncs had returned when it was logged. A state owes what was acked by the last mark
before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from devicemapper.log_writes import Entry, Flag

WINDOW_WRITES = 256
"""Writes between two barriers that are sampled together; more are taken in turn, so memory does not grow."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`sectors` sectors of one write from its `first_sector` on: the part that reached the disk."""

    entry: Entry
    first_sector: int
    sectors: int

    def widened(self, unit_sectors: int) -> Piece:
        """The piece grown to borders of the disk's units of `unit_sectors`, within its write."""
        start = self.entry.sector + self.first_sector
        first = start - start % unit_sectors
        end = -(-(start + self.sectors) // unit_sectors) * unit_sectors
        first = max(first, self.entry.sector)
        end = min(end, self.entry.sector + self.entry.sectors)
        return Piece(self.entry, first - self.entry.sector, end - first)


@dataclass(frozen=True, slots=True)
class CrashState:
    """A disk that a power loss could have left."""

    entries: int
    """So many entries of the log, from the first on, are on it."""
    position: int
    """In the ledger: it owes what was acked by then."""
    extra: tuple[Piece, ...]
    """Writes after these entries that reached the disk out of order."""
    what: str
    """How it was chosen, in words."""

    def __str__(self) -> str:
        return f"{self.what} after {self.entries} log entries, ledger position {self.position}"


def steps(entries: Iterable[Entry], position: int, random: Random, samples: int) -> Iterator[Entry | CrashState]:
    """The states in order, with the writes to put on the disk between them.

    `position` is that of the ledger when the log began; `samples` states are drawn from between each two barriers.
    """
    walk = _Walk(position, random, samples)
    for entry in entries:
        yield from walk.take(entry)
    yield from walk.close()
    yield from walk.prefix()


class _Walk:
    """The state of the walk along the log. Invariant: `_window` holds plain writes that are not on the disk yet."""

    def __init__(self, position: int, random: Random, samples: int) -> None:
        self._position, self._random, self._samples = position, random, samples
        self._reached = 0
        self._due = "start"
        self._window: list[Entry] = []

    def take(self, entry: Entry) -> Iterator[Entry | CrashState]:
        if entry.flags & Flag.MARK:
            yield from self.close()
            if entry.mark.isdecimal():
                self._position, self._due = int(entry.mark), "mark"
        elif entry.is_barrier:
            yield from self.close()
            if entry.writes:
                yield from self._barrier_write(entry)
            self._due = "FUA" if entry.flags & Flag.FUA else "FLUSH"
        elif entry.writes:
            self._window.append(entry)
            if len(self._window) == WINDOW_WRITES:
                yield from self.close()
        if not self._window:
            self._reached = entry.index + 1

    def prefix(self) -> Iterator[CrashState]:
        """The state of the disk as it is, if nobody has seen it yet with the mark that now holds."""
        if self._due:
            yield CrashState(self._reached, self._position, (), self._due)
            self._due = ""

    def close(self) -> Iterator[Entry | CrashState]:
        """The window's samples, then its writes."""
        if not self._window:
            return
        yield from self.prefix()
        for _ in range(self._samples):
            yield self._sample()
        yield from self._window
        self._reached = self._window[-1].index + 1
        self._window.clear()
        self._due = "writes"

    def _barrier_write(self, entry: Entry) -> Iterator[Entry | CrashState]:
        yield from self.prefix()
        torn = self._torn(entry)
        if self._samples and torn.sectors < entry.sectors:
            yield self._state((torn,), "torn FUA write")
        yield entry

    def _state(self, extra: tuple[Piece, ...], what: str) -> CrashState:
        return CrashState(self._reached, self._position, extra, what)

    def _sample(self) -> CrashState:
        """One of the ways in which a cache may have kept part of the window."""
        draw = self._random.choice((self._some, self._first, self._all_but_one, self._one))
        return draw([Piece(entry, 0, entry.sectors) for entry in self._window])

    def _some(self, pieces: list[Piece]) -> CrashState:
        kept = tuple(piece for piece in pieces if self._random.getrandbits(1))
        return self._state(kept, f"{len(kept)} of {len(pieces)} unflushed writes")

    def _first(self, pieces: list[Piece]) -> CrashState:
        count = self._random.randrange(len(pieces))
        kept = (*pieces[:count], self._torn(pieces[count].entry))
        return self._state(kept, f"first {count} of {len(pieces)} unflushed writes, the next torn")

    def _all_but_one(self, pieces: list[Piece]) -> CrashState:
        lost = self._random.randrange(len(pieces))
        return self._state((*pieces[:lost], *pieces[lost + 1 :]), f"write {lost + 1} of {len(pieces)} lost")

    def _one(self, pieces: list[Piece]) -> CrashState:
        kept = self._random.randrange(len(pieces))
        return self._state((pieces[kept],), f"only write {kept + 1} of {len(pieces)} unflushed")

    def _torn(self, entry: Entry) -> Piece:
        """Some adjacent sectors of the write; all of it where it is but one sector."""
        first = self._random.randrange(entry.sectors)
        return Piece(entry, first, self._random.randint(1, entry.sectors - first))

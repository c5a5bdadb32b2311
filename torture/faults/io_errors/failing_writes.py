"""Shared by the faults that let dm-flakey refuse writes with EIO: tables, and the proof that writes were refused.

A refused write counts at the dm device and not at the disk below it, so the difference in sectors (field 7 of
Documentation/block/stat.rst) is what was refused; unlike I/O counts it is not changed by merging and splitting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from devicemapper.block_stat import block_stat
from devicemapper.table import Segment, Table
from devicemapper.targets import Flakey, Linear, Target
from torture.faults.base import Proof
from torture.faults.power.dropping import FOREVER_S
from torture.rig.scene import Scene


def refusing(disk: str, length_sectors: int, ranges: Iterable[tuple[int, int]]) -> Table:
    """A table that refuses writes to the (first sector, sectors) of `ranges` and maps the rest."""

    def broken(first: int) -> Target:
        return Flakey(disk, first, up_s=0, down_s=FOREVER_S, features=(Flakey.ERROR_WRITES,))

    return covering(disk, length_sectors, ranges, broken)


def covering(disk: str, length_sectors: int, ranges: Iterable[tuple[int, int]], target: Callable[[int], Target]) -> Table:
    """A table with `target`, which is told the first sector, on each of the `ranges`; the rest is mapped to `disk`."""
    segments: list[Segment] = []
    reached = 0
    for first, sectors in _merged(ranges):
        if first > reached:
            segments.append(Segment(reached, first - reached, Linear(disk, reached)))
        segments.append(Segment(first, sectors, target(first)))
        reached = first + sectors
    if reached < length_sectors:
        segments.append(Segment(reached, length_sectors - reached, Linear(disk, reached)))
    return Table(tuple(segments))


class RefusedWrites:
    """Counts the refused sectors from its making to `stop`."""

    what = "writes"
    field = 6

    def __init__(self, scene: Scene) -> None:
        self._upper, self._lower = scene.dm.path, scene.disk
        self._before = self._difference()
        self.sectors = 0

    def so_far(self) -> int:
        """Sectors refused until now, of I/O that has ended."""
        return self._difference() - self._before

    def stop(self) -> None:
        """Call when all I/O has ended, such as after the unmount."""
        self.sectors = self.so_far()

    def proof(self) -> Proof:
        """It fired when an I/O was refused."""
        return Proof(self.sectors > 0, f"{self.sectors} sectors of {self.what} were refused with EIO")

    def _difference(self) -> int:
        return block_stat(self._upper)[self.field] - block_stat(self._lower)[self.field]


class RefusedReads(RefusedWrites):
    """The same of reads: field 3 of stat.rst."""

    what = "reads"
    field = 2


def _merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """In order, with what touches or overlaps put together."""
    first = end = 0
    for start, sectors in sorted(ranges):
        if start > end:
            if end:
                yield first, end - first
            first, end = start, start + sectors
        elif end == 0:
            first, end = start, start + sectors
        else:
            end = max(end, start + sectors)
    if end:
        yield first, end - first

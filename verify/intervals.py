"""Ranges of pages laid over each other, and the segments in which the same ranges lie on top."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

FOREVER = 2**64
"""An end beyond every page."""


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """Something that holds for the pages [first_page, end_page)."""

    first_page: int
    end_page: int
    item: T


class Overlay(Generic[T]):
    """Items placed on ranges of pages. Memory grows with the number of items, never with that of pages."""

    def __init__(self, placed: Iterable[Placed[T]]) -> None:
        real = [each for each in placed if each.first_page < each.end_page]
        self._items = [each.item for each in real]
        starts = ((each.first_page, order, True) for order, each in enumerate(real))
        ends = ((each.end_page, order, False) for order, each in enumerate(real))
        self._borders = sorted([*starts, *ends])

    def segments(self, end_page: int) -> Iterator[tuple[int, int, list[T]]]:
        """(first page, end page, items in the order they were given), adjacent from 0 to `end_page`."""
        active: list[int] = []
        reached = 0
        for page, order, starts in self._borders:
            if page >= end_page:
                break
            if page > reached:
                yield reached, page, [self._items[each] for each in active]
                reached = page
            if starts:
                insort(active, order)
            else:
                del active[bisect_left(active, order)]
        if reached < end_page:
            yield reached, end_page, [self._items[each] for each in active]


def merged(ranges: Iterable[range]) -> list[range]:
    """The same numbers as ranges in order that neither overlap nor touch."""
    joined: list[range] = []
    for each in sorted(filter(None, ranges), key=lambda each: each.start):
        if joined and each.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, each.stop))
        else:
            joined.append(each)
    return joined


def without(ranges: Iterable[range], gone: Iterable[range]) -> list[range]:
    """What of `ranges` lies in none of `gone`, in order."""
    left = []
    holes = merged(gone)
    for each in merged(ranges):
        start = each.start
        for hole in holes[bisect_left(holes, start, key=lambda hole: hole.stop) :]:
            if hole.start >= each.stop:
                break
            left.append(range(start, hole.start))
            start = max(start, hole.stop)
        left.append(range(start, each.stop))
    return [each for each in left if each]

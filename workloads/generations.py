"""Generations of the pages of one worker: 1, 2, 3 ... for each page, raised by each store to it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive pages of a file that are about to get the same generation."""

    first_page: int
    pages: int
    generation: int


class Generations:
    """Counts the stores to each of a worker's pages, 4 bytes a page."""

    def __init__(self, first_page: int, pages: int) -> None:
        self._first_page = first_page
        self._counts = array("I", [0]) * pages

    def raised(self, first_page: int, pages: int) -> Iterator[Run]:
        """Raise the generation of pages as the runs of equal ones are taken from the iterator, lowest page first."""
        start = first_page - self._first_page
        for count, equal in groupby(self._counts[start : start + pages]):
            length = sum(1 for _ in equal)
            self._counts[start : start + length] = array("I", [count + 1]) * length
            yield Run(self._first_page + start, length, count + 1)
            start += length

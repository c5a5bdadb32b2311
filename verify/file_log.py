"""What a ledger says about one file: collected by the oracle while it reads, then turned into an expectation."""

from collections.abc import Iterator
from dataclasses import dataclass

from verify import ledger
from verify.acks import EndedSync
from verify.expectation import Deed, FileExpectation, Item, Resized
from verify.history import ZERO, Fate
from verify.intervals import FOREVER, Placed


@dataclass(frozen=True, slots=True)
class When:
    """The times of an operation, and what came of it."""

    began: int
    """Ledger position of its intent."""
    ended: int | None
    """Ledger position of its result, None if it never returned."""
    fate: Fate


class FileLog:
    """What a ledger says about one file, as it is read."""

    def __init__(self, file: ledger.File) -> None:
        self.file = file
        self.sizes_bytes = {file.size_bytes}
        self.largest_bytes = file.size_bytes
        self.placed: list[Placed[Item]] = [
            Placed(base.first_page, base.first_page + base.pages, base) for base in file.base
        ]
        self.whole_syncs: list[EndedSync] = []
        self.resizes: list[Resized] = []

    def add_sync(self, ended: EndedSync, pages: range | None) -> None:
        """A sync of these pages, or with None of the whole file."""
        if pages is None:
            self.whole_syncs.append(ended)
        else:
            self.placed.append(Placed(pages.start, pages.stop, ended))

    def add_zeroes(self, first_byte: int, end_byte: int, when: When, page_bytes: int) -> None:
        """A range of bytes became zeros."""
        for first_page, end_page, lo, hi in _pieces(first_byte, end_byte, page_bytes):
            deed = Deed(ZERO, lo, hi, when.began, when.ended, when.fate)
            self.placed.append(Placed(first_page, end_page, deed))

    def resize(self, size_bytes: int, when: When, page_bytes: int) -> None:
        """Bytes from the smaller of old and new size on become zeros.

        If the old size is in doubt, bytes between the smallest and the largest such border may or may not.
        """
        smaller = [min(before, size_bytes) for before in self.sizes_bytes]
        doubtful = When(when.began, when.ended, "faulted" if when.fate == "accepted" else when.fate)
        self.add_zeroes(min(smaller), max(smaller), doubtful, page_bytes)
        self.add_zeroes(max(smaller), FOREVER * page_bytes, when, page_bytes)
        self.sizes_bytes = {size_bytes} if when.fate == "accepted" else {*self.sizes_bytes, size_bytes}
        self.resizes.append(Resized(size_bytes, when.began, when.ended, when.fate))

    def expectation(self) -> FileExpectation:
        """What the whole ledger says the file may hold."""
        return FileExpectation(self.file, self.placed, self.whole_syncs, self.resizes)


def _pieces(first_byte: int, end_byte: int, page_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """(first page, end page, lo, hi) of a byte range: a partial first page, whole ones, a partial last."""
    if first_byte % page_bytes and first_byte < end_byte:
        page = first_byte // page_bytes
        next_page_byte = (page + 1) * page_bytes
        yield page, page + 1, first_byte % page_bytes, min(end_byte - page * page_bytes, page_bytes)
        first_byte = next_page_byte
    if first_byte < end_byte - end_byte % page_bytes:
        yield first_byte // page_bytes, end_byte // page_bytes, 0, page_bytes
    if first_byte < end_byte and end_byte % page_bytes:
        yield end_byte // page_bytes, end_byte // page_bytes + 1, 0, end_byte % page_bytes

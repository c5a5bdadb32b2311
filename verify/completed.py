"""Stores that returned: each `Store` of a ledger with the `Stored` that ended it, for readers that ask what was stored."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from verify.ledger import Record, Store, Stored


@dataclass(frozen=True, slots=True)
class Completed:
    """A store that returned."""

    store: Store
    stored: Stored

    @property
    def refused(self) -> list[int]:
        """The pages of the file that were refused, in order."""
        return sorted({refusal.page for refusal in self.stored.refused})

    @property
    def accepted(self) -> list[range]:
        """The pages of the file that were accepted, in order. Raises ValueError if others were refused."""
        return [pages for pages, accepted in self.pieces() if accepted]

    def pieces(self) -> Iterator[tuple[range, bool]]:
        """Adjacent pages, and whether they were accepted. Raises ValueError as `accepted` does."""
        reached, end = self.store.first_page, self.store.first_page + self.store.pages
        for page in self.refused:
            if not reached <= page < end:
                raise ValueError(f"page {page} was refused, which is outside the store")
            if reached < page:
                yield range(reached, page), True
            yield range(page, page + 1), False
            reached = page + 1
        if reached < end:
            yield range(reached, end), True


def completed(records: Iterable[Record]) -> Iterator[Completed]:
    """The stores that returned, in the order in which they did. Raises KeyError for an end without a beginning."""
    outstanding: dict[int, Store] = {}
    for record in records:
        if isinstance(record, Store):
            outstanding[record.worker] = record
        elif isinstance(record, Stored):
            yield Completed(outstanding.pop(record.worker), record)

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
    def refused(self) -> set[int]:
        """The pages of the file that were refused."""
        return {refusal.page for refusal in self.stored.refused}

    @property
    def accepted(self) -> set[int]:
        """The pages of the file that were accepted."""
        return set(range(self.store.first_page, self.store.first_page + self.store.pages)) - self.refused


def completed(records: Iterable[Record]) -> Iterator[Completed]:
    """The stores that returned, in the order in which they did. Raises KeyError for an end without a beginning."""
    outstanding: dict[int, Store] = {}
    for record in records:
        if isinstance(record, Store):
            outstanding[record.worker] = record
        elif isinstance(record, Stored):
            yield Completed(outstanding.pop(record.worker), record)

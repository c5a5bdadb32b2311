"""What a ledger says was done, without the content: stores, syncs and changes of files, and the positions between which
each was under way. Pure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from verify import ledger
from verify.finding import Finding
from verify.ledger import Record


@dataclass(frozen=True, slots=True)
class Act:
    """What a worker did between two positions of the ledger; `ended` is past every position if it never returned."""

    record: ledger.File | ledger.Store | ledger.Sync | ledger.Resize | ledger.Zeroed
    began: int
    ended: int
    errno: int | None
    """None if it never returned. Of a store, 0."""

    @property
    def worker(self) -> int:
        """Who did it; 0 if it was done before there were workers."""
        return 0 if isinstance(self.record, ledger.File) else self.record.worker


class Past:
    """What a ledger says was done, without the content."""

    def __init__(self, records: Iterable[Record], files: frozenset[int]) -> None:
        self.files: dict[int, ledger.File] = {}
        self.made: dict[int, Act] = {}
        self.errors: list[int] = []
        self.notices: list[tuple[int, ledger.FsError]] = []
        self.syncs: list[Act] = []
        self._page_bytes = 1
        self._stores: list[Act] = []
        self._others: list[Act] = []
        self._alterations: list[Act] = []
        self._wanted = files
        self._began: dict[tuple[str, int], tuple[int, ledger.Store | ledger.Sync | ledger.Resize | ledger.Zeroed]] = {}
        for position, record in enumerate(records):
            self._take(position, record)
        for (_, _), (began, record) in self._began.items():
            self._keep(Act(record, began, 2**63, None))
        self.syncs.sort(key=lambda act: act.ended)

    def _take(self, position: int, record: Record) -> None:
        match record:
            case ledger.Begin():
                self._page_bytes = record.page_bytes
            case ledger.File():
                self.files[record.file] = record
                self.made[record.file] = Act(record, position, position, 0)
            case ledger.Store():
                self._began["store", record.worker] = position, record
            case ledger.Sync():
                self._began["sync", record.worker] = position, record
            case ledger.Resize() | ledger.Zeroed():
                self._began["alteration", record.worker] = position, record
            case ledger.Stored():
                self._end("store", record.worker, position, 0)
            case ledger.Synced():
                self._end("sync", record.worker, position, record.errno)
            case ledger.Altered():
                self._end("alteration", record.worker, position, record.errno)
            case ledger.FsError():
                self.errors.append(position)
                self.notices.append((position, record))
            case _:
                pass

    def _end(self, what: str, worker: int, position: int, errno: int) -> None:
        began, record = self._began.pop((what, worker))
        if errno:
            self.errors.append(position)
        self._keep(Act(record, began, position, errno))

    def _keep(self, act: Act) -> None:
        if isinstance(act.record, ledger.Sync):
            self.syncs.append(act)
        elif isinstance(act.record, ledger.Store) and act.record.file not in self._wanted:
            self._others.append(act)
        elif act.record.file in self._wanted:
            (self._stores if isinstance(act.record, ledger.Store) else self._alterations).append(act)

    @property
    def allocations(self) -> Iterator[Act]:
        """Stores to pages that held neither data of the layout nor an earlier store, and changes of a size."""
        yield from self._alterations
        held = {(each.file, page) for each in self.files.values() for page in pages_with_data(each)}
        for act in sorted((*self._stores, *self._others), key=lambda act: act.began):
            assert isinstance(act.record, ledger.Store)
            pages = {(act.record.file, act.record.first_page + page) for page in range(act.record.pages)}
            if not pages <= held:
                yield act
            held |= pages

    def stores_of(self, finding: Finding) -> list[Act]:
        """Stores to the first page of a finding."""
        return [act for act in self._stores if covers(act.record, finding)]

    def syncs_of(self, finding: Finding) -> Iterator[Act]:
        """Syncs of the first page of a finding."""
        return (act for act in self.syncs if covers(act.record, finding))

    def alterations_of(self, finding: Finding) -> Iterator[Act]:
        """Changes of size, and zeroings, that reach the first page of a finding."""
        byte = finding.first_page * self._page_bytes
        for act in self._alterations:
            record = act.record
            if isinstance(record, ledger.Resize):
                reaches = record.size_bytes < byte + self._page_bytes
            else:
                assert isinstance(record, ledger.Zeroed)
                end_byte = record.first_byte + record.length_bytes
                reaches = record.first_byte < byte + self._page_bytes and byte < end_byte
            if record.file == finding.file and reaches:
                yield act

    def act_at(self, position: int) -> Act | None:
        """What began there."""
        acts = (*self._stores, *self._alterations)
        return next((act for act in acts if act.began == position), None)


def pages_with_data(file: ledger.File) -> Iterator[int]:
    """Those that its layout filled."""
    for base in file.base:
        if base.kind == "stamp":
            yield from range(base.first_page, base.first_page + base.pages)


def covers(record: object, finding: Finding) -> bool:
    """Whether a store or a sync reaches the first page of a finding."""
    match record:
        case ledger.Sync(files=files, first_page=first, pages=pages):
            return not files or (finding.file in files and (not pages or first <= finding.first_page < first + pages))
        case ledger.Store(file=file, first_page=first, pages=pages):
            return file == finding.file and first <= finding.first_page < first + pages
    return False

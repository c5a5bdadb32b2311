"""The oracle: from a ledger to what every page may hold.

Reads the records once, in order, and keeps one small item per record; the histories of pages are put together
segment by segment while the checker walks through a file, so memory does not depend on how big the files are.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from errno import errorcode

from verify import ledger
from verify.acks import NEVER, EndedSync
from verify.completed import Completed
from verify.expectation import Deed, FileExpectation
from verify.file_log import FileLog, When
from verify.history import Content, Fate
from verify.intervals import Placed
from verify.ledger import LEDGER_VERSION, MAX_FILES, Record
from verify.stamp import MAX_PAGE_BYTES


class HistoryError(Exception):
    """Records that cannot be the history of a run; nothing can be concluded from them."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason

    def __str__(self) -> str:
        return f"ledger record {self.position + 1}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the files of one run may hold."""

    run: int
    page_bytes: int
    crash: bool
    """The fault may lose whatever was not synced."""
    files: Mapping[int, FileExpectation]
    """By file id."""


def expectations(records: Iterable[Record]) -> Expectations:
    """Expectations from a whole ledger. Raises HistoryError for an empty or impossible one."""
    numbered = enumerate(records)
    position, begin = next(numbered, (0, None))
    if not isinstance(begin, ledger.Begin):
        raise HistoryError(position, "the ledger does not start with a Begin record")
    if begin.version != LEDGER_VERSION:
        raise HistoryError(position, f"ledger version {begin.version}, known is {LEDGER_VERSION}")
    if not 0 < begin.page_bytes <= MAX_PAGE_BYTES:
        raise HistoryError(position, f"pages of {begin.page_bytes} bytes, allowed are up to {MAX_PAGE_BYTES}")
    reading = _Reading(begin.page_bytes)
    for position, record in numbered:
        reading.take(position, record)
    return Expectations(begin.run, begin.page_bytes, reading.crash, reading.finish())


class _Reading:
    """The state between two records: files so far, each worker's outstanding store, sync and alteration."""

    def __init__(self, page_bytes: int) -> None:
        self.crash = False
        self._page_bytes = page_bytes
        self._files: dict[int, FileLog] = {}
        self._workers: list[tuple[int, ledger.Worker]] = []
        self._mapped_end: dict[tuple[int, int], int] = {}
        self._stores: dict[int, tuple[int, ledger.Store]] = {}
        self._syncs: dict[int, tuple[int, ledger.Sync]] = {}
        self._alterations: dict[int, tuple[int, ledger.Resize | ledger.Zeroed]] = {}
        self._swapped_at = NEVER
        self._struck_at = NEVER

    def take(self, position: int, record: Record) -> None:
        """Account for the record at this position."""
        match record:
            case ledger.Begin():
                raise HistoryError(position, "a second Begin record")
            case ledger.File():
                self._new_file(position, record)
            case ledger.Worker():
                self._workers.append((position, record))
                key, end_page = (record.worker, record.file), record.first_page + record.pages
                self._mapped_end[key] = max(end_page, self._mapped_end.get(key, 0))
            case ledger.Store():
                self._begin_store(position, record)
            case ledger.Stored():
                self._end_store(position, record)
            case ledger.Sync():
                self._begin_sync(position, record)
            case ledger.Synced():
                self._end_sync(position, record)
            case ledger.Resize() | ledger.Zeroed():
                self._begin_alteration(position, record)
            case ledger.Altered():
                self._end_alteration(position, record)
            case ledger.Swap():
                self._swapped_at = min(self._swapped_at, position)
            case ledger.Struck():
                self.crash = self.crash or record.crash
                self._struck_at = min(self._struck_at, position)
            case ledger.FsError():
                self._tell_all(position, record)
            case ledger.Pinned() if all(worker.worker != record.worker for _, worker in self._workers):
                raise HistoryError(position, f"worker {record.worker} has pinned, and has no pages")
            case ledger.Pinned() | ledger.Looked() | ledger.Thawed() | ledger.Note():
                pass

    def finish(self) -> dict[int, FileExpectation]:
        """The expectations, with stores and alterations that never returned taken for unknown."""
        for began, store in self._stores.values():
            self._place_store(store, began, None, store.first_page, store.first_page + store.pages, "unknown")
        for began, alteration in self._alterations.values():
            self._alter(alteration, When(began, None, "unknown"))
        for position, worker in self._workers:
            end_page = worker.first_page + worker.pages
            self._log(position, worker.file).placed.append(Placed(worker.first_page, end_page, worker))
        return {file: log.expectation() for file, log in self._files.items()}

    def _log(self, position: int, file: int) -> FileLog:
        if file not in self._files:
            raise HistoryError(position, f"there is no file {file}")
        return self._files[file]

    def _new_file(self, position: int, file: ledger.File) -> None:
        if file.file in self._files:
            raise HistoryError(position, f"a second file {file.file}")
        if len(self._files) == MAX_FILES:
            raise HistoryError(position, f"more than {MAX_FILES} files")
        self._files[file.file] = FileLog(file)

    def _begin_store(self, position: int, store: ledger.Store) -> None:
        log = self._log(position, store.file)
        if store.worker in self._stores:
            raise HistoryError(position, f"worker {store.worker} has a store under way")
        if not self._is_sensible(store):
            raise HistoryError(position, f"a store of nothing, or past its page: {store}")
        if not self._is_within(store, log):
            raise HistoryError(position, f"a store outside its file: {store}")
        self._stores[store.worker] = (position, store)

    def _is_within(self, store: ledger.Store, log: FileLog) -> bool:
        """Whether all pages are the file's when it was largest, or the worker's, whose stores past the end are refused."""
        end_page = -(-log.largest_bytes // self._page_bytes)
        return store.first_page + store.pages <= max(end_page, self._mapped_end.get((store.worker, store.file), 0))

    def _is_sensible(self, store: ledger.Store) -> bool:
        first_byte, end_byte = store.lo, store.hi + (self._page_bytes if store.crossing else 0)
        in_page = 0 <= first_byte < end_byte and max(store.lo, store.hi - 1) < self._page_bytes and store.hi > 0
        return in_page and store.pages > store.crossing and store.generation > 0

    def _end_store(self, position: int, stored: ledger.Stored) -> None:
        if stored.worker not in self._stores:
            raise HistoryError(position, f"worker {stored.worker} has no store under way")
        began, store = self._stores.pop(stored.worker)
        try:
            for pages, accepted in Completed(store, stored).pieces():
                fate: Fate = "accepted" if accepted else "faulted"
                self._place_store(store, began, position, pages.start, pages.stop, fate)
        except ValueError as error:
            raise HistoryError(position, str(error)) from error

    def _place_store(
        self, store: ledger.Store, began: int, ended: int | None, first_page: int, end_page: int, fate: Fate
    ) -> None:
        wrote = Content("store", store.generation, store.worker)
        log = self._log(began, store.file)
        for first, end, lo, hi in _reach(store, first_page, end_page, self._page_bytes):
            log.placed.append(Placed(first, end, Deed(wrote, lo, hi, began, ended, fate)))

    def _begin_sync(self, position: int, sync: ledger.Sync) -> None:
        if sync.worker in self._syncs:
            raise HistoryError(position, f"worker {sync.worker} has a sync under way")
        for file in sync.files:
            self._log(position, file)
        self._syncs[sync.worker] = (position, sync)

    def _end_sync(self, position: int, synced: ledger.Synced) -> None:
        if synced.worker not in self._syncs:
            raise HistoryError(position, f"worker {synced.worker} has no sync under way")
        began, sync = self._syncs.pop(synced.worker)
        succeeded = synced.errno == 0
        ended = EndedSync(
            began=began,
            ended=position,
            proves=succeeded and self._can_prove(sync.kind, position),
            reported=None if succeeded else f"{sync.kind} {errorcode.get(synced.errno, synced.errno)}",
        )
        asked = range(sync.first_page, sync.first_page + sync.pages) if sync.files and sync.pages else None
        for file in sync.files or self._files:
            self._log(position, file).add_sync(ended, asked)
            if asked and not succeeded:
                self._doubt(replace(ended, reported=None, elsewhere=True), sync.worker, file)

    def _doubt(self, failed: EndedSync, worker: int, file: int) -> None:
        """Once a sync of some pages has failed, later successes prove nothing for the other pages of the worker either.

        A writeback error belongs to the whole file and is reported once through each descriptor (mm/filemap.c,
        file_check_and_advance_wb_err), whatever range was asked for.
        """
        for _, mapped in self._workers:
            if (mapped.worker, mapped.file) == (worker, file):
                self._files[file].add_sync(failed, range(mapped.first_page, mapped.first_page + mapped.pages))

    def _tell_all(self, position: int, error: ledger.FsError) -> None:
        """An error of the filesystem does not say which bytes it concerns, so it counts as a report for all of them."""
        name = f"FAN_FS_ERROR {errorcode.get(error.errno, error.errno)}"
        for log in self._files.values():
            log.whole_syncs.append(EndedSync(position, position, proves=False, reported=name, is_sync=False))

    def _can_prove(self, kind: str, ended: int) -> bool:
        """Whether the success of a sync that ended at this position proves that anything is durable.

        sync(2) waits but cannot report that a write failed, so after the fault struck its return proves nothing.
        """
        if kind == "sync_file_range" or ended >= self._swapped_at:
            return False
        return kind != "sync" or ended < self._struck_at

    def _begin_alteration(self, position: int, alteration: ledger.Resize | ledger.Zeroed) -> None:
        log = self._log(position, alteration.file)
        if isinstance(alteration, ledger.Resize):
            log.largest_bytes = max(log.largest_bytes, alteration.size_bytes)
        if alteration.worker in self._alterations:
            raise HistoryError(position, f"worker {alteration.worker} has an alteration under way")
        self._alterations[alteration.worker] = position, alteration

    def _end_alteration(self, position: int, altered: ledger.Altered) -> None:
        if altered.worker not in self._alterations:
            raise HistoryError(position, f"worker {altered.worker} has no alteration under way")
        began, alteration = self._alterations.pop(altered.worker)
        self._alter(alteration, When(began, position, "faulted" if altered.errno else "accepted"))

    def _alter(self, alteration: ledger.Resize | ledger.Zeroed, when: When) -> None:
        log = self._log(when.began, alteration.file)
        if isinstance(alteration, ledger.Resize):
            log.resize(alteration.size_bytes, when, self._page_bytes)
        else:
            end_byte = alteration.first_byte + alteration.length_bytes
            log.add_zeroes(alteration.first_byte, end_byte, when, self._page_bytes)


def _reach(store: ledger.Store, first_page: int, end_page: int, page_bytes: int) -> Iterator[tuple[int, int, int, int]]:
    """(first page, end page, lo, hi) of the bytes that a store writes in the pages [first_page, end_page)."""
    if not store.crossing:
        yield first_page, end_page, store.lo, store.hi
        return
    inner = range(store.first_page + 1, store.first_page + store.pages - 1)
    if first_page < inner.start:
        yield first_page, inner.start, store.lo, page_bytes
    if (first := max(first_page, inner.start)) < (end := min(end_page, inner.stop)):
        yield first, end, 0, page_bytes
    if inner.stop < end_page:
        yield inner.stop, end_page, 0, store.hi

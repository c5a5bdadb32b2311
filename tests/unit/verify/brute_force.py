"""A brute-force model of what may be found: every page, byte by byte, in every possible world.

It shares no code with the oracle. A store that returned happened at some instant between intent and result; a
faulted or unfinished one did at some instant, or did not. A crash keeps what the byte held at any instant
since the last acked one. The model serves for sizes of files too: a size is what its only byte holds.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EIO, ENOSPC
from typing import Any, get_args

from hypothesis import strategies as st

from tests.unit.verify.story import RUN
from verify import ledger
from verify.history import BASE, ZERO, Content
from verify.ledger import Base, Record, RefusedPage

PAGES = 3


@dataclass(eq=False)
class Deed:
    """The model's event: content and the ledger positions between which it may have happened."""

    wrote: Any
    began: int
    ended: int | None = None
    sure: bool = False
    state: str = "open"
    provable: bool = True

    def before(self, other: "Deed") -> bool:
        """Was it over when the other one began?"""
        return self.ended is not None and self.ended < other.began


@dataclass(frozen=True)
class Truth:
    """What one byte may hold: without a crash, after one, and excused by a report."""

    latest: frozenset[Any]
    durable: frozenset[Any]
    excused: frozenset[Any]
    acked: bool
    reported: bool
    """That the store that was accepted last is lost."""


def truth_at(records: list[Record], base: Content, page: int, byte: int) -> Truth:
    """About one byte of a page of file 1."""
    return truth(deeds_at(records, page, byte), base, emptied=ZERO)


def truth_of_size(records: list[Record], size_bytes: int) -> Truth:
    """About the size of file 1."""
    return truth(deeds_at(records, None, 0), size_bytes, emptied=size_bytes)


def deeds_at(records: list[Record], page: int | None, byte: int) -> list[Deed]:
    """What touched a byte of file 1, or with page None its size, in a simulation record by record."""
    deeds: list[Deed] = []
    storing: dict[int, Deed] = {}
    syncing: dict[int, tuple[int, ledger.Sync]] = {}
    altering: Deed | None = None
    swapped = False
    page_bytes = page_bytes_of(records)
    size = PAGES * page_bytes
    for now, record in enumerate(records):
        match record:
            case ledger.Store(worker=worker):
                storing[worker] = Deed(Content("store", record.generation, worker), now)
                if record.file == 1 and page is not None and stores_to(record, page, byte, page_bytes):
                    deeds.append(storing[worker])
            case ledger.Stored(worker=worker):
                deed = storing.pop(worker)
                deed.ended = now
                deed.sure = page not in [fault.page for fault in record.refused]
            case ledger.Zeroed(file=1) if page is not None:
                if 0 <= page * page_bytes + byte - record.first_byte < record.length_bytes:
                    deeds.append(altering := Deed(ZERO, now))
            case ledger.Resize(file=1):
                if page is None:
                    deeds.append(altering := Deed(record.size_bytes, now))
                elif page * page_bytes + byte >= min(size, record.size_bytes):
                    deeds.append(altering := Deed(ZERO, now))
                size = record.size_bytes
            case ledger.Altered():
                if altering:
                    altering.ended, altering.sure = now, not record.errno
                altering = None
            case ledger.Sync(worker=worker):
                syncing[worker] = now, record
            case ledger.Swap():
                swapped = True
            case ledger.Synced(worker=worker):
                began, sync = syncing.pop(worker)
                if covers(sync, page):
                    proves = not swapped and sync.kind != "sync_file_range"
                    settle(deeds, began, proves, record.errno)
                elif record.errno and 1 in sync.files and sync.worker in mapped_by(records, page):
                    for deed in deeds:
                        deed.provable = deed.provable and deed.state == "acked"
    return deeds


def page_bytes_of(records: list[Record]) -> int:
    (begin,) = (record for record in records if isinstance(record, ledger.Begin))
    return begin.page_bytes


def base_of(records: list[Record]) -> Content:
    """What file 1, whose base is one kind throughout, held at first."""
    file = next(record for record in records if isinstance(record, ledger.File))
    return BASE if file.base[0].kind == "stamp" else ZERO


def stores_to(store: ledger.Store, page: int, byte: int, page_bytes: int) -> bool:
    if store.crossing:
        end_page = store.first_page + store.pages - 1
        start, end = store.first_page * page_bytes + store.lo, end_page * page_bytes + store.hi
        return start <= page * page_bytes + byte < end
    return store.first_page <= page < store.first_page + store.pages and store.lo <= byte < store.hi


def mapped_by(records: list[Record], page: int | None) -> set[int]:
    """The workers whose descriptor an error of this page of file 1 goes to, whatever range they sync."""
    mappings = [each for each in records if isinstance(each, ledger.Worker) and each.file == 1]
    return {each.worker for each in mappings if page in range(each.first_page, each.first_page + each.pages)}


def covers(sync: ledger.Sync, page: int | None) -> bool:
    if not sync.files:
        return True
    if page is None or not sync.pages:
        return 1 in sync.files
    return 1 in sync.files and sync.first_page <= page < sync.first_page + sync.pages


def settle(deeds: list[Deed], began: int, proves: bool, errno: int) -> None:
    """A sync that covers these deeds has returned."""
    for deed in deeds:
        if deed.state != "open":
            continue
        if errno:
            deed.state = "failed"
        elif proves and deed.provable and deed.sure and deed.ended is not None and deed.ended < began:
            deed.state = "acked"


def worlds(deeds: list[Deed]) -> Iterator[list[Deed]]:
    """Every order in which the deeds that happened may have happened."""
    doubtful = [deed for deed in deeds if not deed.sure]
    for happened in itertools.product([False, True], repeat=len(doubtful)):
        dropped = [deed for deed, did in zip(doubtful, happened, strict=True) if not did]
        yield from orders([deed for deed in deeds if deed not in dropped])


def orders(deeds: list[Deed]) -> Iterator[list[Deed]]:
    if not deeds:
        yield []
    for deed in deeds:
        others = [other for other in deeds if other is not deed]
        if not any(other.before(deed) for other in others):
            yield from ([deed, *rest] for rest in orders(others))


def truth(deeds: list[Deed], base: Any, emptied: Any) -> Truth:
    latest, durable, last_sure = set(), set(), []
    for world in worlds(deeds):
        latest.add(world[-1].wrote if world else base)
        last_sure += [deed for deed in world if deed.sure][-1:]
        acked = [index for index, deed in enumerate(world) if deed.state == "acked"]
        since = world[acked[-1] :] if acked else world
        durable |= {deed.wrote for deed in since} | (set() if acked else {base})
    states = {deed.state for deed in deeds}
    excused = set()
    if last_sure and all(deed.state == "failed" for deed in last_sure):
        excused = durable | (set() if "acked" in states else {emptied})
    last = max((deed for deed in deeds if deed.sure), key=lambda deed: deed.began, default=None)
    reported = last is not None and last.state == "failed"
    return Truth(frozenset(latest), frozenset(durable), frozenset(excused), "acked" in states, reported)


WHAT = ["store", "store", "store", "sync", "sync", "swap", "zero", "resize"]


@st.composite
def ledgers(draw: st.DrawFn, page_bytes: int, steps: int = 14, resize: bool = True) -> list[Record]:
    """Two workers storing and syncing over each other, with all that can go wrong."""
    base = draw(st.sampled_from(get_args(ledger.BaseKind)))
    size = PAGES * page_bytes
    records: list[Record] = [
        ledger.Begin(ledger.LEDGER_VERSION, RUN, page_bytes, ""),
        ledger.File(1, "a", size, "hole", "target", 1, (Base(0, PAGES, base),)),
        ledger.File(2, "b", size, "hole", "bystander", 2, ()),
    ]
    if draw(st.booleans()):
        first = draw(st.integers(0, PAGES - 1))
        records.append(ledger.Worker(1, 1, "mlock", "store", first, draw(st.integers(1, PAGES - first))))
    storing: dict[int, ledger.Store] = {}
    syncing: set[int] = set()
    altering = ""
    generation = itertools.count(1)
    eighth = page_bytes // 8
    for _ in range(draw(st.integers(0, steps))):
        worker = draw(st.integers(1, 2))
        what = draw(st.sampled_from(WHAT))
        first = draw(st.integers(0, PAGES - 1))
        pages = draw(st.integers(1, PAGES - first))
        if what == "store" and worker in storing:
            store = storing.pop(worker)
            refused = draw(st.sets(st.integers(store.first_page, store.first_page + store.pages - 1)))
            records.append(ledger.Stored(worker, tuple(RefusedPage(page, "SIGBUS", 2, 0) for page in refused)))
        elif what == "store":
            lo, hi = draw(st.sampled_from([(0, 8), (0, 8), (0, 3), (2, 6), (5, 8)]))
            crossing = pages > 1 and draw(st.booleans())
            if crossing:
                lo, hi = draw(st.sampled_from([(7, 1), (2, 6), (0, 8)]))
            storing[worker] = ledger.Store(worker, 1, first, pages, next(generation), lo * eighth, hi * eighth, crossing)
            records.append(storing[worker])
            if draw(st.booleans()):
                records.append(ledger.Stored(worker, ()))
                del storing[worker]
        elif what == "sync" and worker in syncing:
            syncing.remove(worker)
            records.append(ledger.Synced(worker, draw(st.sampled_from([0, 0, EIO, ENOSPC]))))
        elif what == "sync":
            kind = draw(st.sampled_from(["msync", "fsync", "syncfs", "sync", "sync_file_range"]))
            files = draw(st.sampled_from([(1,), (1,), (1, 2), (2,), ()]))
            records.append(ledger.Sync(worker, kind, files, *draw(st.sampled_from([(0, 0), (first, pages)]))))
            if draw(st.booleans()):
                records.append(ledger.Synced(worker, draw(st.sampled_from([0, 0, EIO]))))
            else:
                syncing.add(worker)
        elif what == "swap" and draw(st.integers(0, 3)) == 0:
            records.append(ledger.Swap(""))
        elif what in ("zero", "resize") and altering:
            records.append(ledger.Altered(1, 0 if altering == "resize" else draw(st.sampled_from([0, 0, ENOSPC]))))
            altering = ""
        elif what == "zero":
            start = draw(st.integers(0, size - 1))
            records.append(ledger.Zeroed(1, 1, start, draw(st.integers(1, size - start))))
            altering = what
        elif what == "resize" and resize:
            records.append(ledger.Resize(1, 1, draw(st.integers(0, size))))
            altering = what
        if altering and draw(st.booleans()):
            records.append(ledger.Altered(1, 0))
            altering = ""
    return records

"""The oracle agrees with the brute-force model, in memory that does not depend on the size of files."""

import tracemalloc
from errno import EIO, ENOSPC, EUCLEAN

import pytest
from hypothesis import given, settings

from tests.unit.verify.brute_force import PAGES, base_of, ledgers, truth_at, truth_of_size
from tests.unit.verify.story import RUN
from verify import ledger, oracle
from verify.ledger import Base, Record, RefusedPage
from verify.oracle import HistoryError

SMALL_PAGE = 8
"""The oracle does not care that this is no page."""

BEGIN = ledger.Begin(ledger.LEDGER_VERSION, RUN, 4096, "")
FILE = ledger.File(1, "a", 8 * 4096, "hole", "target", 1, ())
STORE = ledger.Store(1, 1, 0, 8, 1, 0, 4096)
SYNC = ledger.Sync(1, "msync", (1,), 0, 0)


@settings(max_examples=400, deadline=None)
@given(records=ledgers(SMALL_PAGE))
def test_the_oracle_allows_what_the_model_allows(records: list[Record]) -> None:
    expectation = oracle.expectations(records).files[1]
    base = base_of(records)
    reached = 0
    for segment in expectation.segments(PAGES):
        assert segment.first_page == reached
        reached = segment.end_page
        for page in range(segment.first_page, segment.end_page):
            truths = [truth_at(records, base, page, byte) for byte in range(SMALL_PAGE)]
            for crash in (False, True):
                for piece in segment.history.allowances(SMALL_PAGE, crash=crash):
                    for truth in truths[piece.lo : piece.hi]:
                        allowed = truth.durable if crash else truth.latest
                        assert piece.allowed == allowed
                        assert piece.excused == truth.excused - allowed
                        assert piece.durable == truth.durable
                        assert piece.acked == truth.acked
                        assert (piece.latest is not None and piece.latest.failed) == truth.reported
    assert reached == PAGES


@settings(max_examples=150, deadline=None)
@given(records=ledgers(SMALL_PAGE))
def test_the_oracle_allows_the_sizes_that_the_model_allows(records: list[Record]) -> None:
    truth = truth_of_size(records, PAGES * SMALL_PAGE)
    for crash in (False, True):
        size = oracle.expectations(records).files[1].size(crash=crash)
        assert size.allowed == (truth.durable if crash else truth.latest)
        assert size.excused == truth.excused - size.allowed


@pytest.mark.parametrize(
    ("reason", "records"),
    [
        ("does not start", []),
        ("does not start", [FILE]),
        ("version", [ledger.Begin(99, RUN, 4096, "")]),
        ("second Begin", [BEGIN, BEGIN]),
        ("second file", [BEGIN, FILE, FILE]),
        ("no file 1", [BEGIN, STORE]),
        ("no file 1", [BEGIN, SYNC]),
        ("no file 1", [BEGIN, ledger.Resize(1, 1, 0)]),
        ("no file 1", [BEGIN, ledger.Zeroed(1, 1, 0, 1)]),
        ("no file 1", [BEGIN, ledger.Worker(1, 1, "mlock", "store", 0, 8)]),
        ("store under way", [BEGIN, FILE, STORE, STORE]),
        ("no store under way", [BEGIN, FILE, ledger.Stored(1, ())]),
        ("sync under way", [BEGIN, FILE, SYNC, SYNC]),
        ("no sync under way", [BEGIN, FILE, ledger.Synced(1, 0)]),
        ("outside the store", [BEGIN, FILE, STORE, ledger.Stored(1, (RefusedPage(8, "SIGBUS", 2, 0),))]),
        ("of nothing", [BEGIN, FILE, ledger.Store(1, 1, 0, 8, 1, 5, 5)]),
        ("of nothing", [BEGIN, FILE, ledger.Store(1, 1, 0, 8, 1, 0, 4097)]),
        ("of nothing", [BEGIN, FILE, ledger.Store(1, 1, 0, 0, 1, 0, 4096)]),
        ("of nothing", [BEGIN, FILE, ledger.Store(1, 1, 0, 1, 0, 0, 4096)]),
    ],
)
def test_impossible_ledgers_are_refused(reason: str, records: list[Record]) -> None:
    with pytest.raises(HistoryError, match=reason):
        oracle.expectations(records)


def test_workers_may_be_announced_before_their_file() -> None:
    records: list[Record] = [BEGIN, ledger.Worker(1, 1, "mlock", "store", 2, 3), FILE]
    segments = oracle.expectations(records).files[1].segments(8)
    assert [(s.first_page, s.end_page, len(s.workers)) for s in segments] == [(0, 2, 0), (2, 5, 1), (5, 8, 0)]


def test_a_crash_counts_wherever_it_stands() -> None:
    assert not oracle.expectations([BEGIN, ledger.Struck("enospc", False)]).crash
    assert oracle.expectations([BEGIN, ledger.Struck("cut", True), ledger.Struck("x", False)]).crash


def test_a_report_names_the_sync_and_its_errno() -> None:
    records: list[Record] = [BEGIN, FILE, STORE, ledger.Stored(1, ()), SYNC, ledger.Synced(1, ENOSPC)]
    (segment,) = oracle.expectations(records).files[1].segments(8)
    assert [event.reported for event in segment.history.events] == ["msync ENOSPC"]


def test_an_error_of_the_filesystem_reports_what_was_stored_before_it_and_nothing_later() -> None:
    later: list[Record] = [ledger.Store(1, 1, 0, 8, 2, 0, 4096), ledger.Stored(1, ())]
    records: list[Record] = [BEGIN, FILE, STORE, ledger.Stored(1, ()), ledger.FsError(EUCLEAN, 1), *later]
    (segment,) = oracle.expectations(records).files[1].segments(8)
    assert [event.reported for event in segment.history.events] == ["FAN_FS_ERROR EUCLEAN", None]


def test_an_error_of_the_filesystem_takes_back_no_sync() -> None:
    """Unlike a failed sync: who synced after it and was told that all is well may rely on that."""
    records: list[Record] = [BEGIN, FILE, STORE, ledger.Stored(1, ()), ledger.FsError(EIO, 1), SYNC, ledger.Synced(1, 0)]
    (segment,) = oracle.expectations(records).files[1].segments(8)
    assert [(event.acked, event.reported) for event in segment.history.events] == [(True, None)]


def walk_peak_bytes(pages: int) -> int:
    """Peak memory of reading a ledger about a file of so many pages and walking through it."""
    tracemalloc.start()
    try:
        records: list[Record] = [BEGIN, ledger.File(1, "a", pages * 4096, "hole", "target", 1, (Base(0, pages, "stamp"),))]
        for number in range(50):
            first = pages // 100 * number
            records.append(ledger.Store(1, 1, first, pages // 2, number + 1, 0, 4096))
            records.append(ledger.Stored(1, (RefusedPage(first, "SIGBUS", 2, 0),)))
            records += [ledger.Sync(1, "msync", (1,), first, pages // 4), ledger.Synced(1, 0)]
        for segment in oracle.expectations(records).files[1].segments(pages):
            segment.history.allowances(4096, crash=True)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_pages() -> None:
    walk_peak_bytes(1000)
    assert walk_peak_bytes((20 << 30) // 4096) < 1.1 * walk_peak_bytes((200 << 20) // 4096)

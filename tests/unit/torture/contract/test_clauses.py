"""The judges of the clauses that look at more than what became of the stores."""

from __future__ import annotations

from collections.abc import Iterable
from errno import EAGAIN, EIO, ENOMEM, EPERM

import pytest

from tests.unit.torture.contract.seen import STORE_1, STORE_2, SYNCED, looked, refused, seen, sync
from tests.unit.torture.stories import finding
from torture.contract.clauses import CLAUSES, EXPERIMENTS
from torture.contract.experiment import Seen, unpinned
from torture.contract.verdict import ClauseVerdict
from verify.ledger import Altered, Record, Resize, Stored, Thawed, Zeroed

HOLDS, DIFFERS, LATE = ClauseVerdict.holds, ClauseVerdict.differs, ClauseVerdict.late
UNKNOWN, BROKEN = ClauseVerdict.unknown, ClauseVerdict.broken
PINNED_KIB = 16


def verdict(clause: int, name: str, what: Seen) -> ClauseVerdict:
    row = next(row for row in EXPERIMENTS if (row.clause, row.name) == (clause, name))
    judged = unpinned(row, what) or row.judge(row, what)
    return judged.verdict


def test_every_clause_has_experiments_and_each_a_name_of_its_own() -> None:
    assert {row.clause for row in EXPERIMENTS} == set(CLAUSES) == set(range(1, 18))
    names = [(row.clause, row.name) for row in EXPERIMENTS]
    assert len(names) == len(set(names)) == 65


@pytest.mark.parametrize(
    ("first", "last", "pin_errno", "expected"),
    [
        ({}, {}, 0, HOLDS),
        ({"dirty_kib": 4}, {}, 0, BROKEN),
        ({}, {"blocks": 8}, 0, BROKEN),
        ({}, {"mtime_ns": 1}, 0, BROKEN),
        ({}, {}, ENOMEM, BROKEN),
    ],
)
def test_mlock_leaves_a_hole_clean(
    first: dict[str, int], last: dict[str, int], pin_errno: int, expected: ClauseVerdict
) -> None:
    assert verdict(1, "hole", seen(looked(**first), looked(**last), pin_errno=pin_errno)) is expected


@pytest.mark.parametrize(
    ("pin_errno", "nonzero_bytes", "expected"),
    [(0, 0, HOLDS), (ENOMEM, 0, DIFFERS), (EAGAIN, 0, DIFFERS), (EPERM, 0, BROKEN), (0, 1, BROKEN)],
)
def test_mlock_without_room_succeeds_or_fails_as_it_may(
    pin_errno: int, nonzero_bytes: int, expected: ClauseVerdict
) -> None:
    assert verdict(2, "hole", seen(looked(nonzero_bytes=nonzero_bytes), pin_errno=pin_errno)) is expected


def test_the_first_store_takes_blocks() -> None:
    assert verdict(3, "room", seen(*STORE_1, looked(blocks=64))) is HOLDS
    assert verdict(3, "room", seen(*STORE_1, looked(blocks=63))) is LATE
    assert verdict(3, "room", seen(*STORE_1, looked(blocks=63), findings=(finding(),))) is BROKEN
    assert verdict(3, "room", seen(*refused(1, "SIGBUS"), looked(blocks=64))) is BROKEN


def test_a_pin_that_failed_leaves_nothing_to_conclude_but_where_it_may() -> None:
    assert verdict(4, "hole", seen(*STORE_1, pin_errno=ENOMEM)) is UNKNOWN
    assert verdict(4, "full-hole", seen(*STORE_1, pin_errno=ENOMEM)) is HOLDS


def test_a_pin_of_what_cannot_be_read_fails_and_does_not_try_for_ever() -> None:
    hang = finding("hang", promise="liveness", pages=0)
    assert verdict(17, "unreadable", seen(*refused(4, "SIGBUS"), *STORE_1, pin_errno=ENOMEM)) is HOLDS
    assert verdict(17, "unreadable", seen(*refused(4, "SIGBUS"), *STORE_1, pin="none")) is HOLDS
    assert verdict(17, "unreadable", seen(*STORE_1, findings=(hang,))) is BROKEN
    assert verdict(17, "unreadable", seen(*STORE_1)) is BROKEN
    assert verdict(17, "unreadable", seen(*STORE_1, pin="none", findings=(finding(),))) is BROKEN


@pytest.mark.parametrize("name", ["remount", "cut", "extend", "msync-extend"])
def test_bytes_past_the_end_are_zeros(name: str) -> None:
    scribbled = (Zeroed(1, 1, 5000, 3192), Altered(1, 0))
    assert verdict(9, name, seen(*scribbled, *SYNCED)) is HOLDS
    assert verdict(9, name, seen(*scribbled, findings=(finding("corrupt"),))) is BROKEN
    assert verdict(9, name, seen(Zeroed(1, 1, 5000, 3192), Altered(1, EIO))) is BROKEN
    assert verdict(9, name, seen(*scribbled, *sync("msync", EIO))) is BROKEN


def truncated(past_end: int, nonzero_bytes: int = 0) -> tuple[Record, ...]:
    faults = next(record for record in refused(past_end, "SIGBUS") if isinstance(record, Stored))
    resized = Resize(1, 1, 0), Altered(1, 0)
    return (*STORE_1, *SYNCED, *resized, STORE_2[0], faults, looked(nonzero_bytes=nonzero_bytes), *SYNCED)


def test_truncate_takes_pages_away() -> None:
    assert verdict(10, "truncate", seen(*truncated(8))) is HOLDS
    assert verdict(10, "truncate", seen(*truncated(4))) is BROKEN
    assert verdict(10, "truncate", seen(*truncated(8, nonzero_bytes=1))) is BROKEN
    assert verdict(10, "truncate", seen(*truncated(8), findings=(finding(),))) is BROKEN
    assert verdict(10, "truncate-store", seen(*truncated(8))) is BROKEN, "the last store is missing"


@pytest.mark.parametrize(
    ("child", "before", "moved", "unlocked", "pin", "expected"),
    [
        (0, 50, 50, 50 - PINNED_KIB, "mlock", HOLDS),
        (0, 50, 50, 50, "none", HOLDS),
        (4, 50, 50, 50 - PINNED_KIB, "mlock", BROKEN),
        (0, 50, 46, 50 - PINNED_KIB, "mlock", BROKEN),
        (0, 50, 50, 50, "mlock", BROKEN),
    ],
)
def test_the_lock_stays_with_the_mapping(
    child: int, before: int, moved: int, unlocked: int, pin: str, expected: ClauseVerdict
) -> None:
    what = seen(*(looked(locked_kib=kib) for kib in (child, before, moved, unlocked)), pin=pin)
    assert verdict(11, "lock", what) is expected


def told(*answers: tuple[str, int, int]) -> Iterable[Record]:
    for name, first, second in answers:
        yield from (*sync(name, first), *sync(name, second))


@pytest.mark.parametrize(
    ("msync", "syncfs", "expected"),
    [
        ((EIO, 0), (EIO, 0), HOLDS),
        ((EIO, 0), (0, 0), BROKEN),
        ((0, EIO), (EIO, 0), BROKEN),
        ((EIO, EIO), (EIO, 0), DIFFERS),
    ],
)
@pytest.mark.parametrize("name", ["background", "msync"])
def test_everybody_is_told_once(
    name: str, msync: tuple[int, int], syncfs: tuple[int, int], expected: ClauseVerdict
) -> None:
    answers = told(("msync", *msync), ("fsync", EIO, 0), ("syncfs", *syncfs))
    assert verdict(13, name, seen(*STORE_1, *answers)) is expected


def test_a_store_returns_after_the_thaw() -> None:
    assert verdict(14, "first", seen(STORE_1[0], Thawed(0), STORE_1[1], *SYNCED)) is HOLDS
    assert verdict(14, "first", seen(*STORE_1, Thawed(0), *SYNCED)) is BROKEN
    assert verdict(14, "first", seen(STORE_1[0], Thawed(8), STORE_1[1])) is BROKEN
    assert verdict(14, "again", seen(*STORE_1, STORE_2[0], Thawed(0), STORE_2[1], findings=(finding(),))) is BROKEN

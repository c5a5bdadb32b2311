"""What a trial left of a file, in the words of the table."""

from __future__ import annotations

import pytest

from tests.unit.torture.contract.seen import FAILED, STORE_1, STORE_2, SYNCED, refused, seen
from tests.unit.torture.stories import finding
from torture.contract.experiment import FULL, PLAIN, STORE, Experiment, Seen
from torture.contract.stores import Refusal, reported, stores
from torture.contract.verdict import ClauseVerdict, Judgement

LOST = finding(expected="generation 1", found="zeros", pages=4)


def judged(what: Seen, refusal: Refusal = Refusal.WRONG) -> Judgement:
    row = Experiment(clause=4, name="hole", stage=PLAIN, ops=(STORE,), judge=stores(refusal))
    return row.judge(row, what)


def test_a_file_without_findings_holds() -> None:
    assert judged(seen(*STORE_1, *SYNCED)) == Judgement(ClauseVerdict.holds, "4 stores accepted, nothing was lost")


def test_a_loss_that_nobody_reported_is_broken() -> None:
    words = "4 stores accepted, then 4 pages zeros instead of generation 1 after the remount"
    assert judged(seen(*STORE_1, findings=(LOST,))) == Judgement(ClauseVerdict.broken, words)


def test_a_loss_that_a_sync_reported_is_late_unless_there_is_worse() -> None:
    late = finding("late", pages=4)
    assert judged(seen(*STORE_1, *FAILED, findings=(late,)), Refusal.DUE).verdict is ClauseVerdict.late
    assert judged(seen(*STORE_1, *FAILED, findings=(late, LOST)), Refusal.DUE).verdict is ClauseVerdict.broken


def test_what_cannot_be_judged_is_unknown() -> None:
    assert judged(seen(*STORE_1, findings=(finding("unjudged"),))).verdict is ClauseVerdict.unknown


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refusal_means_what_the_row_says(refusal: Refusal) -> None:
    what = judged(seen(*STORE_1, *refused(2, "SIGBUS")), refusal)
    assert what.verdict.value == refusal.value
    assert what.words == "2 of 8 stores refused with SIGBUS, nothing was lost"


def test_a_failing_sync_on_a_healthy_disk_with_room_is_broken() -> None:
    assert judged(seen(*STORE_1, *FAILED)).verdict is ClauseVerdict.broken
    assert judged(seen(*STORE_1, *FAILED), Refusal.DUE).verdict is ClauseVerdict.holds


def test_to_report_a_loss_is_enough_where_the_report_is_the_clause() -> None:
    row = Experiment(clause=13, name="full", stage=FULL, ops=(STORE,), judge=reported)
    late = reported(row, seen(*STORE_1, *FAILED, findings=(finding("late"),)))
    assert late.verdict is ClauseVerdict.holds and "msync ENOSPC" in late.words
    assert reported(row, seen(*STORE_2, findings=(LOST,))).verdict is ClauseVerdict.broken

"""Known findings are told as such, as narrowly as their entry says, and do not count for the outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from tests.unit.torture.stories import finding, plan, trial
from torture.plan import Plan
from torture.results.known import Known, excused, known_from, unexplained, without_known
from verify.outcome import Outcome
from workloads.plan import Op

TODAY = date(2026, 1, 1)
STORE, SYNC = Op("store", 0, 4), Op("sync", name="msync")


def known(**fields: str) -> Known:
    return known_from({"reason": "so it is", "expires": "2026-06-01", **fields})


def doing(*ops: Op) -> Plan:
    drawn = plan()
    return replace(drawn, workers=tuple(replace(worker, ops=ops) for worker in drawn.workers))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"filesystem": "ext4", "fault": "none", "layout": "hole", "kind": "lost", "promise": "store"},
        {"pin": "mlock", "access": "store", "sync": "msync", "background": "no", "disturbance": "punch"},
        {"found": "zer", "fault": "n*", "sync": "m*"},
    ],
)
def test_it_covers_what_it_says(fields: dict[str, str]) -> None:
    assert known(**fields).covers(doing(STORE, SYNC, Op("punch"), STORE, SYNC), finding(), TODAY)


@pytest.mark.parametrize(
    "fields",
    [
        {"filesystem": "xfs"},
        {"promise": "sync"},
        {"pin": "none"},
        {"sync": "fsync"},
        {"sync": "nothing"},
        {"fault": "non"},
        {"background": "yes"},
        {"disturbance": "freeze"},
        {"found": "generation"},
    ],
)
def test_it_covers_nothing_else(fields: dict[str, str]) -> None:
    assert not known(**fields).covers(doing(STORE, SYNC), finding(), TODAY)


def test_who_did_not_sync_the_last_stores_synced_nothing() -> None:
    assert known(sync="nothing").covers(doing(STORE, SYNC, STORE), finding(), TODAY)
    assert known(sync="msync").covers(doing(STORE, SYNC, STORE), finding(), TODAY)


def test_only_workers_on_the_pages_count() -> None:
    drawn = doing(STORE, SYNC)
    other = replace(drawn.workers[0], worker=2, first_page=4, ops=(Op("store", 4, 4), Op("freeze")))
    both = replace(drawn, workers=(*drawn.workers, other))
    assert known(disturbance="freeze").covers(both, finding(first_page=5), TODAY)
    assert not known(disturbance="freeze").covers(both, finding(first_page=3), TODAY)
    assert known(disturbance="freeze").covers(both, finding(pages=0), TODAY)


def test_it_expires() -> None:
    assert not known().covers(plan(), finding(), date(2026, 6, 1))


def test_what_is_known_does_not_count_and_what_is_new_in_the_same_trial_does() -> None:
    torn = finding("torn")
    entries = [known(kind="lost")]
    trials = [trial(1, Outcome.failed, finding()), trial(2, Outcome.failed, finding(), torn), trial(3, Outcome.passed)]
    left = without_known(trials, entries, TODAY)
    assert [one.verdict.outcome for one in left] == [Outcome.passed, Outcome.failed, Outcome.passed]
    assert unexplained(trials[1], entries, TODAY) == [torn]
    assert {entry: [one.number for one in shown] for entry, shown in excused(trials, entries, TODAY).items()} == {
        entries[0]: [1, 2]
    }

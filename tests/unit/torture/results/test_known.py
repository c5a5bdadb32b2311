"""Known findings are told as such, as narrowly as their entry says, and do not count for the outcome."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from tests.unit.torture.stories import finding, plan, trial
from torture.plan import Plan
from torture.report.summary import detail, render
from torture.results.excuses import account, unexplained, without_known
from torture.results.kernel_range import is_within
from torture.results.known import Known
from torture.results.known_file import entry_from
from verify.outcome import Outcome
from workloads.plan import Op

TODAY = date(2026, 1, 1)
STORE, SYNC = Op("store", 0, 4), Op("sync", name="msync")


def known(**fields: object) -> Known:
    return entry_from({"name": "n", "reason": "so it is", "expires": "2026-06-01", **fields})


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
        {"filesystem": ["xfs", "ext*"], "kind": ["torn", "lost"], "found": ["base", "zeros"]},
        {"circumstances": ["told", "no-data"], "kernel": ">= 6.1, < 6.15"},
        {"circumstances": ["told|not-asked"]},
    ],
)
def test_it_covers_what_it_says(fields: dict[str, object]) -> None:
    lost = finding(circumstances=("told", "no-data"))
    assert known(**fields).covers(lost, doing(STORE, SYNC, Op("punch"), STORE, SYNC), "6.1.192", TODAY)


@pytest.mark.parametrize(
    "fields",
    [
        {"filesystem": "xfs"},
        {"filesystem": ["xfs", "ext4:*"]},
        {"promise": "sync"},
        {"pin": "none"},
        {"sync": "fsync"},
        {"sync": "nothing"},
        {"fault": "eio-*"},
        {"background": "yes"},
        {"disturbance": "freeze"},
        {"found": "generation"},
        {"circumstances": ["answered-success"]},
        {"circumstances": ["told", "freed"]},
        {"circumstances": ["not-asked|answered-success"]},
        {"kernel": "< 6.1"},
        {"kernel": ">= 6.2"},
    ],
)
def test_it_covers_nothing_else(fields: dict[str, object]) -> None:
    lost = finding(circumstances=("told", "no-data"))
    assert not known(**fields).covers(lost, doing(STORE, SYNC), "6.1.192", TODAY)


@pytest.mark.parametrize(
    ("release", "is_in"),
    [
        ("6.1", True),
        ("6.14.9-um", True),
        ("6.15", False),
        ("6.15.0-rc1", False),
        ("6.0.19", False),
        ("7.2.13", False),
        ("x", False),
        ("", False),
        ("6", False),
        ("6.1.2.3", False),
    ],
)
def test_a_range_of_kernels_is_exact(release: str, is_in: bool) -> None:
    assert is_within(release, ">= 6.1, < 6.15") is is_in
    assert is_within(release, "")


def test_who_did_not_sync_the_last_stores_synced_nothing() -> None:
    assert known(sync="nothing").covers(finding(), doing(STORE, SYNC, STORE), "6.1", TODAY)
    assert known(sync="msync").covers(finding(), doing(STORE, SYNC, STORE), "6.1", TODAY)


def test_only_workers_on_the_pages_count() -> None:
    drawn = doing(STORE, SYNC)
    other = replace(drawn.workers[0], worker=2, first_page=4, ops=(Op("store", 4, 4), Op("freeze")))
    both = replace(drawn, workers=(*drawn.workers, other))
    freeze = known(disturbance="freeze")
    assert freeze.covers(finding(first_page=5), both, "6.1", TODAY)
    assert not freeze.covers(finding(first_page=3), both, "6.1", TODAY)
    assert freeze.covers(finding(pages=0), both, "6.1", TODAY)
    assert freeze.could_show(both) and not freeze.could_show(drawn)


def test_it_expires() -> None:
    assert not known().covers(finding(), plan(), "6.1", date(2026, 6, 1))


def test_what_is_known_does_not_count_and_what_is_new_in_the_same_trial_does() -> None:
    torn = finding("torn")
    entries = [known(kind="lost")]
    trials = [trial(1, Outcome.failed, finding()), trial(2, Outcome.failed, finding(), torn), trial(3, Outcome.passed)]
    left = without_known(trials, entries, TODAY)
    assert [one.verdict.outcome for one in left] == [Outcome.passed, Outcome.failed, Outcome.passed]
    assert unexplained(trials[1], entries, TODAY) == [torn]
    told = account(trials, entries, TODAY)
    assert {entry: [one.number for one in shown] for entry, shown in told.excused.items()} == {entries[0]: [1, 2]}


def test_a_run_tells_what_it_excused_what_it_did_not_and_what_met_nothing() -> None:
    entries = [
        known(name="here", kind="lost", kernel="< 6.15"),
        known(name="mended", kind="torn", kernel="< 6.0", fixed_by="abc (6.0)"),
        known(name="gone", kind="short", expires="2020-01-01"),
        known(name="quiet", kind="exposed"),
        known(name="elsewhere", filesystem="xfs"),
    ]
    trials = [trial(1, Outcome.failed, finding()), trial(2, Outcome.failed, finding("torn"), finding("short"))]
    page = render(trials, entries, TODAY)
    assert "here: 1 trial, first 1; until 2026-06-01: so it is" in page
    why = "it is known of kernels < 6.0, not of 6.1: fixed by abc (6.0)"
    assert f"Not excused: 1 trial, first 2, would be mended, but {why}." in page
    assert "would be gone, but it expired on 2020-01-01" in page
    assert "Known, but not met in trials that could have shown it: quiet (2)." in page
    assert "elsewhere" not in page


def test_a_run_whose_findings_are_all_known_says_so() -> None:
    trials = [trial(1, Outcome.failed, finding()), trial(2, Outcome.passed, pin="map-locked")]
    trials.append(trial(3, Outcome.passed, arm="canary"))
    page = render(trials, [known(kind="lost")], TODAY)
    assert "mlock       known" in page and "1 fail, 1 pass" in page
    assert "Outcome, but for what is known: pass" in page and "exit code 0" in page


def test_a_trial_names_the_entry_of_each_finding(tmp_path: object) -> None:
    shown = detail(trial(1, Outcome.failed, finding(), finding("torn")), tmp_path, [known(kind="lost")], TODAY)  # type: ignore[arg-type]
    assert [line.endswith("; known: n: so it is") for line in shown.split("\n")[-2:]] == [True, False]

"""`torture known check`: an entry holds once a trial of its plan showed it; what was fixed need not hold, and is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from click.testing import CliRunner

from tests.unit.torture.stories import finding, trial
from torture.cli import cli
from torture.reproduce.known_check import Check
from torture.results.known import Known
from torture.results.known_file import named, packaged, plan_of
from torture.results.store import Trial
from verify.outcome import Outcome

TODAY = date(2026, 12, 1)
LATE, STALE = named(packaged(), ["ext2-full-late", "ext4-stale-exposed"])


def ran(entry: Known, number: int, kind: str = "", release: str = "6.1", outcome: Outcome = Outcome.failed) -> Trial:
    """A trial of an entry's plan that shows a finding with its circumstances, or none."""
    circumstances = tuple(each.split("|")[0] for each in entry.circumstances)
    found = [finding(kind, circumstances=circumstances, layout=plan_of(entry).files[0].layout)] if kind else []
    return replace(trial(number, outcome, *found), plan=plan_of(entry), release=release)


def check(*entries: Known) -> Check:
    return Check(packaged(), entries, "k", 3, TODAY)


def test_an_entry_runs_until_it_was_seen() -> None:
    source = check(LATE)
    task = source.next()
    assert task and task.plan == plan_of(LATE)
    source.finished(ran(LATE, 1, outcome=Outcome.passed))
    assert source.next()
    source.finished(ran(LATE, 2, "late"))
    assert source.next() is None and not source.refuted
    assert "ext2-full-late  holds: seen in trial 2 of 2" in source.render()


def test_one_that_should_hold_and_was_not_seen_is_refuted() -> None:
    source = check(LATE)
    for number in (1, 2, 3):
        assert source.next()
        source.finished(ran(LATE, number, outcome=Outcome.passed))
    assert source.next() is None and [each.entry for each in source.refuted] == [LATE]
    assert "ext2-full-late  not seen in 3 trials" in source.render()


def test_what_was_fixed_in_this_kernel_need_not_hold_and_is_not_excused() -> None:
    source = check(LATE, STALE)
    for _ in range(2):
        assert source.next()
    source.finished(ran(LATE, 1, "late", "6.15.1"))
    source.finished(ran(STALE, 2, "exposed", "6.15.1"))
    said = "\n".join(source.render())
    assert (
        "not excused: it is known of kernels < 6.15, not of 6.15.1: fixed by e856f93e0fb2 (6.15); seen in trial 1" in said
    )
    assert "not covered by any entry: exposed" in said and "1 of 2 entries hold" in said
    assert not source.refuted


def test_what_cannot_be_judged_refutes_nothing_and_what_is_new_is_told() -> None:
    source = check(LATE)
    assert source.next() and source.next()
    source.finished(ran(LATE, 1, outcome=Outcome.notrun))
    assert "cannot be judged here" in "\n".join(source.render()) and not source.refuted
    source.finished(ran(LATE, 2, "misdirected"))
    assert "not covered by any entry: misdirected" in "\n".join(source.render())


def test_the_list_is_printed() -> None:
    done = CliRunner().invoke(cli, ["known", "list", "ext4-stale-exposed"], standalone_mode=False)
    assert "ext4-stale-exposed: unwritten extents" in done.output and "fixed by e856f93e0fb2 (6.15)" in done.output
    assert CliRunner().invoke(cli, ["known", "list", "--no-known"], standalone_mode=False).output == "\n"

"""Which outcome wins."""

import itertools

import pytest

from verify.finding import Finding, FindingKind
from verify.outcome import Outcome, outcome_of, worst

BADNESS = ["pass", "notrun", "late", "unknown", "fail"]


def finding(kind: FindingKind) -> Finding:
    return Finding(kind, "store", 1, "a", "hole", "mlock", "store", 1, 0, 1, 255, "x", "y", None, "cold")


@pytest.mark.parametrize("pair", list(itertools.product(Outcome, repeat=2)))
def test_the_worse_of_two_wins(pair: tuple[Outcome, Outcome]) -> None:
    assert worst(pair) == BADNESS[max(map(BADNESS.index, pair))]


def test_nothing_at_all_is_not_run() -> None:
    assert worst([]) == Outcome.notrun


def test_no_findings_pass() -> None:
    assert outcome_of([]) == Outcome.passed


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        (["late"], "late"),
        (["late", "unjudged"], "unknown"),
        (["unjudged", "lost", "late"], "fail"),
        *((([kind], "fail")) for kind in ("lost", "torn", "misdirected", "exposed", "corrupt", "unreadable")),
        *((([kind], "fail")) for kind in ("short", "clone-changed", "hang", "fsck", "kernel")),
    ],
)
def test_findings_make_the_outcome(kinds: list[FindingKind], outcome: str) -> None:
    assert outcome_of(map(finding, kinds)) == outcome

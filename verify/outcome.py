"""Outcome of a trial, and which outcome wins."""

from collections.abc import Iterable
from enum import StrEnum

from verify.finding import Finding


class Outcome(StrEnum):
    """What a trial came to, from the harmless to the worst: the order of definition is the order of
    badness.
    """

    passed = "pass"
    notrun = "notrun"
    late = "late"
    unknown = "unknown"
    failed = "fail"


_BADNESS = list(Outcome)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that stands for all of them; of nothing at all, notrun."""
    return max(outcomes, key=_BADNESS.index, default=Outcome.notrun)


def outcome_of(findings: Iterable[Finding]) -> Outcome:
    """The outcome of a trial that ran and was judged: passed without findings."""
    return worst([Outcome.passed, *map(_outcome_of_one, findings)])


def _outcome_of_one(finding: Finding) -> Outcome:
    if finding.kind == "late":
        return Outcome.late
    return Outcome.unknown if finding.kind == "unjudged" else Outcome.failed

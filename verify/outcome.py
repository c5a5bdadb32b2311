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

    @property
    def exit_code(self) -> int:
        """What a command that came to it ends with (design.md section 2)."""
        return _EXIT_CODES[self]

    @property
    def is_judged(self) -> bool:
        """Whether it says something about the filesystem: `notrun` and `unknown` do not."""
        return self not in (Outcome.notrun, Outcome.unknown)


_EXIT_CODES = {Outcome.passed: 0, Outcome.failed: 3, Outcome.notrun: 4, Outcome.unknown: 5, Outcome.late: 6}

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

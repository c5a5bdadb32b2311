"""Verdicts of the conformance table, from one experiment to the exit code. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from verify.outcome import Outcome

PINNED, CONTROL = "mlock", "none"
ARMS = (PINNED, CONTROL)
"""The pins (workloads.pins) that every experiment is carried out with: the control arm has none."""


class ClauseVerdict(StrEnum):
    """What an experiment came to, from the harmless to the worst: the order of definition is the order of badness.

    `differs` is a legal difference, told in words; `late` a loss that was reported by a sync only; `unknown` is never
    a pass.
    """

    holds = "holds"
    differs = "differs"
    notrun = "notrun"
    late = "late"
    unknown = "unknown"
    broken = "broken"


_BADNESS = list(ClauseVerdict)
_OUTCOMES = {
    ClauseVerdict.holds: Outcome.passed,
    ClauseVerdict.differs: Outcome.passed,
    ClauseVerdict.notrun: Outcome.notrun,
    ClauseVerdict.late: Outcome.late,
    ClauseVerdict.unknown: Outcome.unknown,
    ClauseVerdict.broken: Outcome.failed,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and, in one sentence, what was seen."""

    verdict: ClauseVerdict
    words: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One experiment of a clause on one filesystem in one arm; `evidence`: its trial, and what the ledger and
    the findings have of it."""

    clause: int
    experiment: str
    arm: str
    verdict: ClauseVerdict
    words: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    """Entries of the known list, with their reasons, if it would hold without what they excuse."""

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells it from the others of its filesystem: clause, experiment and arm."""
        return self.clause, self.experiment, self.arm


def worst(verdicts: Iterable[ClauseVerdict]) -> ClauseVerdict:
    """The verdict that stands for several experiments: one that ran says more than one that could not."""
    seen = list(verdicts)
    ran = [verdict for verdict in seen if verdict is not ClauseVerdict.notrun]
    return max(ran, key=_BADNESS.index, default=ClauseVerdict.notrun)


@dataclass(frozen=True, slots=True)
class Cell:
    """A clause on one filesystem and kernel: the verdict of each arm."""

    pinned: ClauseVerdict
    control: ClauseVerdict

    @property
    def pin_matters(self) -> bool:
        """Whether the pin makes a difference: the headline of the table."""
        return self.pinned is not self.control

    @property
    def verdict(self) -> ClauseVerdict:
        """The worse of the two."""
        return worst((self.pinned, self.control))


def cell(entries: Iterable[Entry], clause: int) -> Cell:
    """The cell of one clause."""
    mine = [entry for entry in entries if entry.clause == clause]
    return Cell(*(worst(entry.verdict for entry in mine if entry.arm == arm) for arm in ARMS))


def exit_code(entries: Iterable[Entry]) -> int:
    """The exit code of design.md for all that was found: 0 when everything that ran holds, legally differs,
    or is known."""
    counted = (ClauseVerdict.differs if entry.known else entry.verdict for entry in entries)
    return _OUTCOMES[worst(counted)].exit_code

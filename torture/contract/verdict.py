"""Verdicts of the conformance table, from one experiment to the exit code. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from verify.outcome import Outcome

PINNED, CONTROL = "mlock", "none"
ARMS = (PINNED, CONTROL)
"""The pins (workloads.pins) that every experiment is carried out with: the control arm has none."""


class Verdict(StrEnum):
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


_BADNESS = list(Verdict)
_OUTCOMES = {
    Verdict.holds: Outcome.passed,
    Verdict.differs: Outcome.passed,
    Verdict.notrun: Outcome.notrun,
    Verdict.late: Outcome.late,
    Verdict.unknown: Outcome.unknown,
    Verdict.broken: Outcome.failed,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and, in one sentence, what was seen."""

    verdict: Verdict
    words: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One experiment of a clause on one filesystem in one arm; `evidence` is what the experiment recorded."""

    clause: int
    experiment: str
    arm: str
    verdict: Verdict
    words: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Entry:
        """The inverse of `to_json`."""
        raw = json.loads(text)
        return Entry(**{**raw, "verdict": Verdict(raw["verdict"])})


def read_entries(path: Path) -> Iterator[Entry]:
    """The entries of a file; a last line that was cut off by a crash is dropped, a missing file is empty."""
    if path.exists():
        yield from (Entry.from_json(line) for line in path.read_text().splitlines(keepends=True) if line[-1] == "\n")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that stands for several experiments: one that ran says more than one that could not."""
    seen = list(verdicts)
    ran = [verdict for verdict in seen if verdict is not Verdict.notrun]
    return max(ran, key=_BADNESS.index, default=Verdict.notrun)


@dataclass(frozen=True, slots=True)
class Cell:
    """A clause on one filesystem and kernel: the verdict of each arm."""

    pinned: Verdict
    control: Verdict

    @property
    def pin_matters(self) -> bool:
        """Whether the pin makes a difference: the headline of the table."""
        return self.pinned is not self.control

    @property
    def verdict(self) -> Verdict:
        """The worse of the two."""
        return worst((self.pinned, self.control))


def cell(entries: Iterable[Entry], clause: int) -> Cell:
    """The cell of one clause."""
    mine = [entry for entry in entries if entry.clause == clause]
    return Cell(*(worst(entry.verdict for entry in mine if entry.arm == arm) for arm in ARMS))


def exit_code(entries: Iterable[Entry]) -> int:
    """The exit code of design.md for all that was found: 0 when everything that ran holds or legally differs."""
    return _OUTCOMES[worst(entry.verdict for entry in entries)].exit_code

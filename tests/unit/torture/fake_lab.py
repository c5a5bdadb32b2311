"""A lab without a kernel: guests leave the trial that a rule says, so that searches and tests of rates can be tested.

A rule is told the plan and how often this lab has run anything before, and says with what chance the trial fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.unit.torture.stories import finding, leave, ran
from torture.campaign.runner import Runner, Source
from torture.judge import Verdict
from torture.lab.base import Guest, Lab
from torture.plan import Plan
from torture.results.store import Store, Trial
from verify.outcome import Outcome

Rule = Callable[[Plan], float]


@dataclass
class FakeGuest:
    """Obeys torture.lab.base.Guest."""

    lab: FakeLab
    disk: Path = Path("/dev/null")
    kernel: str = "6.1-fake"

    def probe(self) -> dict[str, Any]:
        """Knows nothing."""
        return {}

    def run(self, plan: Plan, directory: Path, on_phase: Callable[[str], None]) -> None:
        """Leave a whole trial: one kernel alarm if it fails."""
        on_phase("work")
        leave(directory, plan, record=ran(alarms=["WARNING: planted"] if self.lab.fails(plan) else []))

    def examine(self, directory: Path, on_phase: Callable[[str], None]) -> None:
        """Reads no image, and leaves nothing about it."""

    def end(self) -> None:
        """Nothing to end."""

    def kill(self) -> None:
        """Nothing to kill."""


@dataclass
class FakeLab:
    """Obeys torture.lab.base.Lab. `seed` decides which trials of a flaky plan fail."""

    rule: Rule
    seed: int = 0
    name: str = "fake"
    ran: list[Plan] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=lambda: {"lab": "uml", "kernel_path": "fake", "arguments": ""})

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._lock = threading.Lock()

    def unavailable(self) -> str:
        """Always there."""
        return ""

    def boot(self, index: int) -> Guest:
        """A guest at once."""
        return FakeGuest(self)

    def fails(self, plan: Plan) -> bool:
        """Draw whether a trial of `plan` fails."""
        with self._lock:
            self.ran.append(plan)
            return self._random.random() < self.rule(plan)


def follow(source: Source, labs: Mapping[str, Lab], directory: Path, jobs: int = 1) -> Store:
    """Let guests of `labs` carry out `source`; the store is left open."""
    directory.mkdir(exist_ok=True)
    store = Store(directory, create=True)
    Runner(labs, source, directory, jobs).run(store)
    return store


def follow_fast(source: Source, labs: dict[str, FakeLab]) -> None:
    """The same without files, one trial at a time, for searches that take thousands of them."""
    alarm = finding("kernel", pin="", promise="liveness", layout="")
    while (task := source.next()) is not None:
        findings = (alarm,) if labs[task.kernel].fails(task.plan) else ()
        verdict = Verdict(Outcome.failed if findings else Outcome.passed, "", findings)
        source.finished(Trial(task.number, task.arm, task.plan, verdict, {}, 0.0, "6.1-fake", (), task.kernel))

"""The store of a run: one SQLite file (WAL, synchronous=FULL) next to the directories of its trials.

A kill at any instant loses at most the trials in flight: what is to be run is written before it is handed out, and a
result, in one transaction, when it was judged. What was handed out and has no result is run again by `resume`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture.draw.arm import Arm
from torture.errors import BadRequest, BrokenTool
from torture.judge import Verdict
from torture.plan import Plan
from torture.plan_check import read_plan
from verify import codec
from verify.finding import Finding
from verify.outcome import Outcome

SCHEMA_VERSION = 3
STORE = "store.sqlite"

_SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE task (
    number INTEGER PRIMARY KEY,
    arm TEXT NOT NULL,
    lab TEXT NOT NULL,
    plan TEXT NOT NULL
);
CREATE TABLE result (
    number INTEGER PRIMARY KEY REFERENCES task(number),
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    findings TEXT NOT NULL,
    missed_canary INTEGER NOT NULL,
    phases TEXT NOT NULL,
    seconds REAL NOT NULL,
    kernel TEXT NOT NULL,
    evidence TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Task:
    """One trial to be run: `lab` the name of a lab of the campaign."""

    number: int
    arm: Arm
    plan: Plan
    lab: str

    @property
    def is_canary(self) -> bool:
        """Whether it plants a loss: it judges the tool, not the filesystem."""
        return self.arm == Arm.canary

    @property
    def directory_name(self) -> str:
        """The trial's directory below `trials`."""
        return f"{self.number:05d}"


@dataclass(frozen=True, slots=True)
class Trial:
    """One finished trial as stored: `seconds` of wall clock, of which `phases` by name; `evidence` in sentences."""

    number: int
    arm: Arm
    plan: Plan
    verdict: Verdict
    phases: dict[str, float]
    seconds: float
    kernel: str
    evidence: tuple[str, ...]
    lab: str = ""

    @property
    def is_canary(self) -> bool:
        """Whether it planted a loss: it judges the tool, not the filesystem."""
        return self.arm == Arm.canary

    @property
    def directory_name(self) -> str:
        """The trial's directory below `trials`."""
        return f"{self.number:05d}"


class Store:
    """Reads and writes a run's store. Used from the thread that opened it."""

    def __init__(self, directory: Path, *, create: bool = False) -> None:
        path = directory / STORE
        if not create and not path.is_file():
            raise BadRequest(f"{directory} is not the directory of a run", f"it has no {STORE}")
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            if create:
                self._connection.executescript(_SCHEMA)
                self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error as error:
            raise BrokenTool(f"cannot use {path}: {error}", "free some space, or give another --results") from error
        if version != SCHEMA_VERSION:
            raise BadRequest(f"{path} has schema {version}", f"this version of torture reads schema {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def describe(self, **facts: Any) -> None:
        """Store facts about the run, each as JSON under its name."""
        with self._transaction():
            for key, value in facts.items():
                self._connection.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (key, json.dumps(value)))

    def facts(self) -> dict[str, Any]:
        """What `describe` stored."""
        return {key: json.loads(value) for key, value in self._connection.execute("SELECT * FROM run")}

    def schedule(self, task: Task) -> None:
        """Store a task that is about to be handed out; one that was stored before stays as it is."""
        row = (task.number, task.arm, task.lab, task.plan.to_json())
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO task VALUES (?, ?, ?, ?)", row)

    def tasks(self, *, unfinished: bool = False) -> Iterator[Task]:
        """All tasks in order of number, or those without a result."""
        condition = "WHERE number NOT IN (SELECT number FROM result)" if unfinished else ""
        rows = self._connection.execute(f"SELECT number, arm, lab, plan FROM task {condition} ORDER BY number")
        for number, arm, lab, plan in rows:
            yield Task(number, Arm(arm), read_plan(plan), lab)

    def add(self, trial: Trial) -> None:
        """Store the result of a scheduled task."""
        row = (
            trial.number,
            trial.verdict.outcome.value,
            trial.verdict.reason,
            codec.encode(trial.verdict.findings),
            trial.verdict.missed_canary,
            json.dumps(trial.phases),
            trial.seconds,
            trial.kernel,
            json.dumps(trial.evidence),
        )
        with self._transaction():
            self._connection.execute("INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def trials(self) -> Iterator[Trial]:
        """All finished trials in the order of their numbers."""
        joined = "SELECT * FROM task JOIN result USING (number) ORDER BY number"
        for row in self._connection.execute(joined):
            number, arm, lab, plan, outcome, reason, findings, missed, phases, seconds, kernel, evidence = row
            verdict = Verdict(Outcome(outcome), reason, _findings(number, findings), bool(missed))
            yield Trial(
                number=number,
                arm=Arm(arm),
                plan=read_plan(plan),
                verdict=verdict,
                phases=json.loads(phases),
                seconds=seconds,
                kernel=kernel,
                evidence=tuple(json.loads(evidence)),
                lab=lab,
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise BrokenTool(
                f"cannot write the results: {error}",
                "free some space on that disk; what was stored before is intact",
            ) from error


def _findings(number: int, text: str) -> tuple[Finding, ...]:
    try:
        return codec.decode(tuple[Finding, ...], text)
    except codec.Malformed as error:
        raise BadRequest(f"findings of trial {number}, {error.wrong}", error.allowed) from None

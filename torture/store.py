"""The store of a run: one SQLite file (WAL, synchronous=FULL) next to the directories of its trials.

A kill at any instant loses at most the trials in flight: a row is written, in one transaction, when a trial was judged.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torture.errors import BadRequest, BrokenTool
from torture.judge import Verdict
from torture.plan import Plan
from verify.finding import Finding
from verify.outcome import Outcome

SCHEMA_VERSION = 1
STORE = "store.sqlite"

_SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE trial (
    number INTEGER PRIMARY KEY,
    arm TEXT NOT NULL,
    plan TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    findings TEXT NOT NULL,
    phases TEXT NOT NULL,
    seconds REAL NOT NULL,
    kernel TEXT NOT NULL,
    evidence TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """One finished trial as stored: `seconds` of wall clock, of which `phases` by name; `evidence` in sentences."""

    number: int
    arm: str
    plan: Plan
    verdict: Verdict
    phases: dict[str, float]
    seconds: float
    kernel: str
    evidence: tuple[str, ...]

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
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            if create:
                self._connection.executescript(_SCHEMA)
                self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
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

    def add(self, trial: Trial) -> None:
        """Store a finished trial."""
        row = (
            trial.number,
            trial.arm,
            trial.plan.to_json(),
            trial.verdict.outcome.value,
            trial.verdict.reason,
            json.dumps([asdict(finding) for finding in trial.verdict.findings]),
            json.dumps(trial.phases),
            trial.seconds,
            trial.kernel,
            json.dumps(trial.evidence),
        )
        with self._transaction():
            self._connection.execute(f"INSERT INTO trial VALUES ({','.join('?' * len(row))})", row)

    def trials(self) -> Iterator[Trial]:
        """All stored trials in the order of their numbers."""
        for row in self._connection.execute("SELECT * FROM trial ORDER BY number"):
            number, arm, plan, outcome, reason, findings, phases, seconds, kernel, evidence = row
            found = tuple(Finding(**finding) for finding in json.loads(findings))
            yield Trial(
                number,
                arm,
                Plan.from_json(plan),
                Verdict(Outcome(outcome), reason, found),
                json.loads(phases),
                seconds,
                kernel,
                tuple(json.loads(evidence)),
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

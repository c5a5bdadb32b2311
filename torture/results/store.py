"""The store of a run: one SQLite file (WAL, synchronous=FULL) next to the directories of its trials.

A kill at any instant loses at most the trials in flight: what is to be run is written before it is handed out, and a
result, in one transaction, when it was judged. What was handed out and has no result is run again by `resume`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
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

_SCHEMA = f"""
BEGIN;
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE task (
    number INTEGER PRIMARY KEY,
    arm TEXT NOT NULL,
    kernel TEXT NOT NULL,
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
    release TEXT NOT NULL,
    evidence TEXT NOT NULL
);
PRAGMA user_version={SCHEMA_VERSION};
COMMIT;
"""


class _Numbered:
    """What a task and its trial have in common."""

    __slots__ = ()
    number: int
    arm: Arm

    @property
    def is_canary(self) -> bool:
        """Whether it plants a loss: it judges the tool, not the filesystem."""
        return self.arm == Arm.canary

    @property
    def directory_name(self) -> str:
        """The trial's directory below `trials`."""
        return f"{self.number:05d}"


@dataclass(frozen=True, slots=True)
class Task(_Numbered):
    """One trial to be run."""

    number: int
    arm: Arm
    plan: Plan
    kernel: str
    """The label of the kernel that runs it (torture.lab.choose.kernel_label)."""


@dataclass(frozen=True, slots=True)
class Trial(_Numbered):
    """One finished trial as stored."""

    number: int
    arm: Arm
    plan: Plan
    verdict: Verdict
    phases: dict[str, float]
    """Seconds of each phase, by its name."""
    seconds: float
    """Of wall clock, from the first phase to the verdict."""
    release: str
    """What the kernel calls itself (uname(2))."""
    evidence: tuple[str, ...]
    """Sentences that prove what happened: that the fault fired, for instance."""
    kernel: str = ""
    """The label of the kernel that ran it."""


class Store(AbstractContextManager["Store"]):
    """Reads and writes a run's store. Used from the thread that opened it; closed at the end of a `with`."""

    def __init__(self, directory: Path, *, create: bool = False) -> None:
        path = directory / STORE
        if not create and not path.is_file():
            raise BadRequest(f"{directory} is not the directory of a run", f"it has no {STORE}")
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            if create:
                self._connection.executescript(_SCHEMA)
            self._check_version(path)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error as error:
            raise BrokenTool(f"cannot use {path}: {error}", "free some space, or give another --results") from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _check_version(self, path: Path) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self.close()
            raise never_began(path.parent)
        if version != SCHEMA_VERSION:
            self.close()
            reader = "an older checkout" if version < SCHEMA_VERSION else "a newer version"
            raise BadRequest(
                f"{path} is a store of trials that has schema {version}, this version of torture reads {SCHEMA_VERSION}",
                f"{reader} of torture, such as the one that wrote it, reads it",
            )

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
        row = (task.number, task.arm, task.kernel, task.plan.to_json())
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO task VALUES (?, ?, ?, ?)", row)

    def tasks(self, *, unfinished: bool = False) -> Iterator[Task]:
        """All tasks in order of number, or those without a result."""
        condition = "WHERE number NOT IN (SELECT number FROM result)" if unfinished else ""
        rows = self._connection.execute(f"SELECT number, arm, kernel, plan FROM task {condition} ORDER BY number")
        for number, arm, kernel, plan in rows:
            yield Task(number, Arm(arm), read_plan(plan), kernel)

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
            trial.release,
            json.dumps(trial.evidence),
        )
        with self._transaction():
            self._connection.execute("INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def trials(self) -> Iterator[Trial]:
        """All finished trials in the order of their numbers."""
        joined = "SELECT * FROM task JOIN result USING (number) ORDER BY number"
        for row in self._connection.execute(joined):
            number, arm, kernel, plan, outcome, reason, findings, missed, phases, seconds, release, evidence = row
            yield Trial(
                number=number,
                arm=Arm(arm),
                plan=read_plan(plan),
                verdict=Verdict(Outcome(outcome), reason, _findings(number, findings), bool(missed)),
                phases=json.loads(phases),
                seconds=seconds,
                release=release,
                evidence=tuple(json.loads(evidence)),
                kernel=kernel,
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


def never_began(run: Path) -> BadRequest:
    """What is said of a run that was killed before it had stored the first facts about itself."""
    return BadRequest(f"{run.name} was ended before it had stored what it is to do", "start it anew; nothing was run")


def find_run(given: Path, results: Path) -> Path:
    """The directory of a run, given as a path or as an id below `results`."""
    for candidate in (given, results / given):
        if (candidate / STORE).is_file():
            return candidate
    raise BadRequest(f"there is no run {given}", f"give a run directory, or the name of one in {results}")


def trial_directory(run: Path, trial: Trial) -> Path:
    """Where a trial of a stored run left its files. BadRequest if that is a link, which may lead to files of others."""
    directory = run / "trials" / trial.directory_name
    for each in (directory.parent, directory):
        if each.is_symlink():
            raise BadRequest(f"{each} is a symbolic link", "allowed is a directory, as a run leaves it")
    return directory


def stored(directory: Path) -> tuple[list[Trial], dict[str, Any]]:
    """Trials and facts of a stored run. BadRequest if it has none."""
    with Store(directory) as store:
        trials, facts = list(store.trials()), store.facts()
    if not facts:
        raise never_began(directory)
    return trials, facts

"""The store of a run: one SQLite file (WAL, synchronous=FULL) next to the directories of its trials.

A kill at any instant loses at most the trials in flight: what is to be run is written before it is handed out, and a
result, in one transaction, when it was judged. What was handed out and has no result is run again by `resume`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, TypeVar

from torture.draw.arm import Arm
from torture.errors import BadRequest, BrokenTool
from torture.judge import Verdict
from torture.plan import Plan
from torture.plan_check import read_plan
from torture.results.store_file import open_to_read, open_to_write, rows
from verify import codec
from verify.codec import shown
from verify.finding import Finding
from verify.numbers import Within
from verify.outcome import Outcome

STORE = "store.sqlite"
"""Its name in the directory of a run."""
_REFUSALS = (sqlite3.Error, UnicodeDecodeError)
"""The latter when SQLite quotes a damaged schema."""
_Number = Annotated[int, Within(1, 2**31 - 1)]


@dataclass(frozen=True, slots=True)
class _TaskRow:
    """A row of the table of tasks."""

    number: _Number
    arm: Arm
    kernel: str
    plan: str


@dataclass(frozen=True, slots=True)
class _TrialRow(_TaskRow):
    """A task and its result; what is text here is JSON in part."""

    outcome: Outcome
    reason: str
    findings: str
    missed_canary: Annotated[int, Within(0, 1)]
    phases: str
    seconds: float
    release: str
    evidence: str


@dataclass(frozen=True, slots=True)
class _FactRow:
    """A fact about the run."""

    key: str
    value: str


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


R = TypeVar("R", bound=_TaskRow)


class Store(AbstractContextManager["Store"]):
    """A run's store, to be read; the run itself makes it (`create`) or goes on with it (`resume`), and writes to it too.

    Used from the thread that opened it; closed at the end of a `with`. BadRequest for what is no store, or holds what no
    run stores; it names the row and the field.
    """

    def __init__(self, directory: Path, *, create: bool = False, resume: bool = False) -> None:
        self._path = directory / STORE
        if not create and not self._path.is_file():
            raise BadRequest(f"{directory} is not the directory of a run", f"it has no {STORE}")
        self._opened = ExitStack()
        if create or resume:
            with self._written("use", ", or give another --results"):
                self._connection = self._opened.enter_context(closing(open_to_write(self._path, create=create)))
        else:
            with self._read():
                self._connection = self._opened.enter_context(open_to_read(self._path))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def describe(self, **facts: Any) -> None:
        """Store facts about the run, each as JSON under its name."""
        with self._transaction():
            for key, value in facts.items():
                self._connection.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (key, json.dumps(value)))

    def facts(self) -> dict[str, Any]:
        """What `describe` stored, as plain data."""
        facts = {}
        for plain in self._rows("SELECT * FROM run"):
            with self._read("a fact"):
                row = codec.from_plain(_FactRow, plain)
            with self._read(f"fact {shown(row.key)}"):
                facts[row.key] = codec.parse(row.value)
        return facts

    def schedule(self, task: Task) -> None:
        """Store a task that is about to be handed out; one that was stored before stays as it is."""
        row = (task.number, task.arm, task.kernel, task.plan.to_json())
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO task VALUES (?, ?, ?, ?)", row)

    def tasks(self, *, unfinished: bool = False) -> Iterator[Task]:
        """All tasks in order of number, or those without a result."""
        condition = "WHERE number NOT IN (SELECT number FROM result)" if unfinished else ""
        for row in self._numbered(_TaskRow, f"SELECT * FROM task {condition} ORDER BY number"):
            with self._read(f"task {row.number}, plan"):
                plan = read_plan(row.plan)
            yield Task(row.number, row.arm, plan, row.kernel)

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
        for row in self._numbered(_TrialRow, "SELECT * FROM task JOIN result USING (number) ORDER BY number"):
            place = f"trial {row.number}"
            with self._read(f"{place}, plan"):
                plan = read_plan(row.plan)
            with self._read(f"{place}, findings"):
                findings = codec.decode(tuple[Finding, ...], row.findings)
            with self._read(f"{place}, phases"):
                phases = codec.decode(dict[str, float], row.phases)
            with self._read(f"{place}, evidence"):
                evidence = codec.decode(tuple[str, ...], row.evidence)
            verdict = Verdict(row.outcome, row.reason, findings, bool(row.missed_canary))
            yield Trial(row.number, row.arm, plan, verdict, phases, row.seconds, row.release, evidence, kernel=row.kernel)

    def _numbered(self, kind: type[R], query: str) -> Iterator[R]:
        """Checked rows in the order of their numbers, none of which is there twice (a damaged file can go round)."""
        before = 0
        for plain in self._rows(query):
            with self._read(f"row {plain['number']}"):
                row = codec.from_plain(kind, plain)
                if row.number <= before:
                    raise codec.Malformed(f"it stands behind row {before}", "the file is damaged")
            yield row
            before = row.number

    def _rows(self, query: str) -> Iterator[dict[str, object]]:
        with self._read():
            yield from rows(self._connection, query)

    @contextmanager
    def _read(self, place: str = "") -> Iterator[None]:
        """Whatever cannot be read is a BadRequest that says where."""
        try:
            yield
        except (codec.Malformed, BadRequest) as error:
            raise BadRequest(f"{self._path}, {place}: {error.wrong}" if place else error.wrong, error.allowed) from None
        except (*_REFUSALS, OSError) as error:
            raise BadRequest(f"cannot read {self._path}: {error}", "give the directory of a run") from error

    @contextmanager
    def _written(self, verb: str, remedy: str) -> Iterator[None]:
        try:
            yield
        except _REFUSALS as error:
            raise BrokenTool(f"cannot {verb} {self._path}: {error}", f"free some space on that disk{remedy}") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._written("write", "; what was stored before is intact"):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


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

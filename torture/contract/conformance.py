"""The trials of every filesystem on every kernel, carried out by the guests of a campaign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path

from torture.campaign import execution
from torture.campaign.run_directory import RunDirectory
from torture.contract.table import Column
from torture.contract.trials import CASES, Case, entries, missing, plan_of, trials_of
from torture.contract.verdict import ClauseVerdict, Entry, Judgement
from torture.draw.arm import Arm
from torture.filesystems import filesystem
from torture.results.excuses import excuse
from torture.results.known import Known
from torture.results.store import Task, Trial


def carry_out(run: RunDirectory, filesystems: tuple[str, ...]) -> list[Column]:
    """The columns of the table, in the order asked for, kernel after kernel. Raises the first error of the tool itself,
    and KeyboardInterrupt when the guests are down."""
    columns, numbers = list[Column](), count(1)
    for kernel, lab in run.labs.items():
        source = Conformance(kernel, filesystems, run.path, numbers, run.config.known)
        if execution.follow(replace(run, labs={kernel: lab}), source, source.total):
            raise KeyboardInterrupt
        columns += source.columns()
    return columns


@dataclass(slots=True)
class Conformance:
    """A source of all trials of one kernel, and what they showed."""

    kernel: str
    filesystems: tuple[str, ...]
    directory: Path
    numbers: Iterator[int]
    known: Sequence[Known] = ()
    _release: str = ""
    _cases: dict[int, tuple[Case, ...]] = field(default_factory=dict)
    _entries: dict[str, list[Entry]] = field(default_factory=dict)
    _tasks: Iterator[Task] = field(init=False)

    def __post_init__(self) -> None:
        self._tasks = self._all()

    @property
    def total(self) -> int:
        """How many trials that makes."""
        return sum(len(list(trials_of(filesystem(name)))) for name in self.filesystems)

    def next(self) -> Task | None:
        """The next trial."""
        return next(self._tasks, None)

    def finished(self, trial: Trial) -> None:
        """Read and judge what it left."""
        self._release = trial.release
        place = self.directory / "trials" / trial.directory_name
        known = partial(excuse, trial, known=self.known, today=date.today())
        found = entries(self._cases[trial.number], trial.plan, place, known)
        self._entries.setdefault(trial.plan.filesystem, []).extend(found)

    def columns(self) -> Iterator[Column]:
        """One for each filesystem, with an entry for every case."""
        for name in self.filesystems:
            found = {entry.key: entry for entry in self._entries.get(name, ())}
            every = sorted(CASES, key=lambda case: case.key)
            yield Column(
                self.kernel, self._release, name, tuple(found.get(case.key) or _lacking(case, name) for case in every)
            )

    def _all(self) -> Iterator[Task]:
        for name in self.filesystems:
            row = filesystem(name)
            for cases in trials_of(row):
                number = next(self.numbers)
                self._cases[number] = cases
                yield Task(number, Arm.contract, plan_of(cases, row), self.kernel)


def _lacking(case: Case, name: str) -> Entry:
    """What no trial was made for cannot be tried."""
    reason = missing(case, filesystem(name))
    return case.entry(Judgement(ClauseVerdict.notrun if reason else ClauseVerdict.unknown, reason or "no trial was made"))

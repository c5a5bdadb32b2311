"""Known findings: reports name each with its reason and the day on which it counts again, and never drop it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, get_args

from torture.dimensions import DIMENSIONS, NO_SYNC, Scope, Values
from torture.draw.combination import CELL
from torture.errors import BadRequest
from torture.plan import Plan
from torture.results.store import Trial
from verify.codec import shown
from verify.finding import Finding, FindingKind, Promise
from verify.outcome import outcome_of
from workloads.plan import WorkerPlan
from workloads.syncs import SYNCS
from workloads.syncs import Scope as SyncScope

OF_FINDING = ("layout", "pin", "access")
"""Dimensions of which a finding has a value itself, "" where it concerns no file or worker."""


@dataclass(frozen=True, slots=True)
class Known:
    """A finding somebody knows. Fields that are empty, and dimensions that are left out, match anything; `*` stands for any
    text in all but `expected` and `found`."""

    reason: str
    expires: str
    """The first day it counts again, as YYYY-MM-DD."""
    values: Values = field(default_factory=dict, hash=False)
    """By dimension. Values of a worker are those of one on the pages concerned, all of the same one. Its `sync` may also be
    that of another worker if it syncs the whole filesystem, and is `nothing` if it did not sync its last stores."""
    kind: str = ""
    promise: str = ""
    expected: str = ""
    """A part of what was expected."""
    found: str = ""
    """A part of what was found, such as a line of the kernel log."""

    def __post_init__(self) -> None:
        """BadRequest for a day or a dimension that there is not."""
        if unknown := self.values.keys() - DIMENSIONS.keys():
            raise BadRequest(
                f"dimension {shown(', '.join(sorted(unknown)))} is unknown", f"known are {', '.join(DIMENSIONS)}"
            )
        try:
            date.fromisoformat(self.expires)
        except ValueError:
            raise BadRequest(f"{shown(self.expires)} is no day", "write YYYY-MM-DD") from None

    @property
    def title(self) -> str:
        """Where it is and of which kind, in words."""
        bare = [value for name in CELL if (value := self.values.get(name))]
        other = [f"{name} {value}" for name, value in self.values.items() if value and name not in CELL]
        return " ".join(filter(None, (*bare, *other, self.kind))) or "any"

    def has_expired(self, today: date) -> bool:
        """Whether its findings count again."""
        return today >= date.fromisoformat(self.expires)

    def covers(self, plan: Plan, finding: Finding, today: date) -> bool:
        """Whether `finding` of a trial of `plan` is this one, and the excuse still holds."""
        return (
            not self.has_expired(today)
            and _fits(self.kind, finding.kind)
            and _fits(self.promise, finding.promise)
            and self.expected in finding.expected
            and self.found in finding.found
            and self._fits_values(plan, finding)
        )

    def _fits_values(self, plan: Plan, finding: Finding) -> bool:
        wanted = {name: pattern for name, pattern in self.values.items() if pattern}
        common = _common_values(plan, finding)
        if not all(_fits(wanted[name], common[name]) for name in wanted.keys() & common.keys()):
            return False
        of_worker = wanted.keys() - common.keys()
        return not of_worker or any(
            all(any(_fits(wanted[name], have) for have in _values(plan, worker, name)) for name in of_worker)
            for worker in concerned(plan, finding)
        )


def _fits(wanted: str, have: str) -> bool:
    return not wanted or fnmatchcase(have, wanted)


def _common_values(plan: Plan, finding: Finding) -> dict[str, str]:
    """The values that a finding has whichever worker it concerns."""
    of_plan = {name: row.value(plan, plan.workers[0]) for name, row in DIMENSIONS.items() if row.scope is Scope.plan}
    return of_plan | {name: getattr(finding, name) for name in OF_FINDING}


def _values(plan: Plan, worker: WorkerPlan, name: str) -> set[str]:
    """The values of a worker that an entry may name."""
    if name == "sync":
        return _syncs(worker) | _whole_filesystem_syncs(plan)
    return {DIMENSIONS[name].value(plan, worker)}


def _syncs(worker: WorkerPlan) -> set[str]:
    """The syncs of a worker, and `nothing` if it did not sync its last stores."""
    last = [op.kind for op in worker.ops if op.kind in ("store", "sync")][-1:]
    nothing = set[str]() if last == ["sync"] else {NO_SYNC}
    return nothing | {op.name for op in worker.ops if op.kind == "sync"}


def _whole_filesystem_syncs(plan: Plan) -> set[str]:
    """Syncs that promise something about what other workers stored."""
    names = {op.name for worker in plan.workers for op in worker.ops if op.kind == "sync"}
    return {name for name in names if SYNCS[name].scope is SyncScope.FILESYSTEM}


def known_keys() -> frozenset[str]:
    """What an entry of a campaign file may say."""
    own = {each.name for each in fields(Known)} - {"values"}
    return frozenset(own | DIMENSIONS.keys())


def known_from(entry: Mapping[str, str]) -> Known:
    """An entry as campaign files have it, with dimensions and fields in one table."""
    own = {key: text for key, text in entry.items() if key not in DIMENSIONS}
    return Known(**own, values={name: entry[name] for name in DIMENSIONS if name in entry})


def known_values(key: str) -> tuple[str, ...]:
    """The values that a key of an entry can have; () if it may be any text."""
    if key in DIMENSIONS:
        return DIMENSIONS[key].values
    return {"kind": get_args(FindingKind), "promise": get_args(Promise)}.get(key, ())


def can_match(key: str, pattern: str) -> bool:
    """Whether `pattern` fits a value that there is, or, with a "+" in it, fits several faults one by one."""
    values = (*known_values(key), *(DIMENSIONS[key].composed if key in DIMENSIONS else ()))
    return (
        not values
        or any(_fits(pattern, value) for value in values)
        or ("+" in pattern and all(can_match(key, part) for part in pattern.split("+")))
    )


def known_of(facts: Mapping[str, Any]) -> list[Known]:
    """The entries of a stored run, from the facts about it."""
    return [Known(**entry) for entry in facts.get("config", {}).get("known", [])]


def concerned(plan: Plan, finding: Finding) -> list[WorkerPlan]:
    """The workers on the pages of a finding; all on the file where it has no pages, or the file is a clone."""
    on_file = [worker for worker in plan.workers if finding.file in (0, worker.file)]
    last_page = finding.first_page + finding.pages
    return [
        worker
        for worker in on_file or plan.workers
        if not finding.pages or (worker.first_page < last_page and finding.first_page < worker.first_page + worker.pages)
    ]


def excuse(plan: Plan, finding: Finding, known: Iterable[Known], today: date) -> Known | None:
    """The first entry that covers a finding."""
    return next((entry for entry in known if entry.covers(plan, finding, today)), None)


def unexplained(trial: Trial, known: Sequence[Known], today: date) -> list[Finding]:
    """The findings of a trial that no entry covers."""
    return [finding for finding in trial.verdict.findings if not excuse(trial.plan, finding, known, today)]


def without_known(trials: Iterable[Trial], known: Sequence[Known], today: date) -> list[Trial]:
    """The trials as if what is known had not been found."""
    return [_without_known(trial, known, today) for trial in trials]


def _without_known(trial: Trial, known: Sequence[Known], today: date) -> Trial:
    news = tuple(unexplained(trial, known, today))
    if len(news) == len(trial.verdict.findings) or trial.is_canary:
        return trial
    return replace(trial, verdict=replace(trial.verdict, outcome=outcome_of(news), findings=news))


def excused(trials: Iterable[Trial], known: Sequence[Known], today: date) -> dict[Known, list[Trial]]:
    """The trials that showed what each entry excuses; entries that excuse nothing are left out."""
    seen: dict[Known, list[Trial]] = {}
    for trial in trials:
        if not trial.is_canary:
            excuses = (excuse(trial.plan, finding, known, today) for finding in trial.verdict.findings)
            for entry in dict.fromkeys(filter(None, excuses)):
                seen.setdefault(entry, []).append(trial)
    return seen

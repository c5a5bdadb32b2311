"""Known findings: told as such, with the reason and the day the excuse ends, and never silently dropped. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from torture.draw.combination import NO_SYNC, combination_of
from torture.plan import Plan
from torture.results.store import Trial
from verify.finding import Finding
from verify.outcome import outcome_of
from workloads.plan import WorkerPlan
from workloads.syncs import SYNCS, Scope


@dataclass(frozen=True, slots=True)
class Known:
    """A finding somebody knows: fields left empty match any value; `expires` (YYYY-MM-DD) is the first day it counts
    again.

    `filesystem`, `fault`, `layout`, `kind`, `promise`, `pin`, `access` are as the finding has them. `sync`, `background`
    and `disturbance` are those of a worker on the pages concerned; `sync` may also be that of any worker if it syncs the
    whole filesystem, and is `nothing` for a worker which did not sync its last stores. In all of these `*` stands for any
    text, as in `enospc*`. `expected` and `found` are parts of what was expected and found, such as a line of the kernel
    log.
    """

    reason: str
    expires: str
    filesystem: str = ""
    fault: str = ""
    layout: str = ""
    kind: str = ""
    promise: str = ""
    pin: str = ""
    access: str = ""
    sync: str = ""
    background: str = ""
    disturbance: str = ""
    expected: str = ""
    found: str = ""

    def covers(self, plan: Plan, finding: Finding, today: date) -> bool:
        """Whether `finding` of a trial of `plan` is this one, and the excuse still holds."""
        wanted = (
            (self.filesystem, plan.filesystem),
            (self.fault, plan.fault_names),
            (self.layout, finding.layout),
            (self.kind, finding.kind),
            (self.promise, finding.promise),
            (self.pin, finding.pin),
            (self.access, finding.access),
        )
        return (
            today < date.fromisoformat(self.expires)
            and all(_fits(want, have) for want, have in wanted)
            and self.expected in finding.expected
            and self.found in finding.found
            and self._covers_a_combination(plan, finding)
        )

    def _covers_a_combination(self, plan: Plan, finding: Finding) -> bool:
        if not (self.sync or self.background or self.disturbance):
            return True
        everywhere = any(_fits(self.sync, name) for name in _whole_filesystem_syncs(plan))
        return any(
            (everywhere or any(_fits(self.sync, name) for name in _syncs(worker)))
            and _fits(self.background, combination.background)
            and _fits(self.disturbance, combination.disturbance)
            for worker in concerned(plan, finding)
            for combination in [combination_of(plan, worker)]
        )


def _fits(wanted: str, have: str) -> bool:
    return not wanted or fnmatchcase(have, wanted)


def _syncs(worker: WorkerPlan) -> set[str]:
    """The syncs of a worker, and `nothing` if it did not sync its last stores."""
    last = [op.kind for op in worker.ops if op.kind in ("store", "sync")][-1:]
    nothing = set[str]() if last == ["sync"] else {NO_SYNC}
    return nothing | {op.name for op in worker.ops if op.kind == "sync"}


def _whole_filesystem_syncs(plan: Plan) -> set[str]:
    """Syncs that promise something about what other workers stored."""
    names = {op.name for worker in plan.workers for op in worker.ops if op.kind == "sync"}
    return {name for name in names if SYNCS[name].scope is Scope.FILESYSTEM}


KEYS = frozenset(field.name for field in fields(Known))
"""What an entry of a campaign file may say."""


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

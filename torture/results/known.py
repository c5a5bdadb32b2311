"""Known findings: what an entry of the list says, and which findings it covers. Pure.

An entry states exactly what is explained: where, after what, who was told, on which kernels. What the explanation does not
cover is not known. torture.results.known_file reads entries, torture.results.excuses applies them to trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase

from torture.dimensions import DIMENSIONS, NO_SYNC, Scope
from torture.plan import Plan
from torture.results.kernel_range import is_within
from verify.codec import OPTIONAL, Malformed, shown
from verify.finding import Finding
from workloads.plan import WorkerPlan
from workloads.syncs import SYNCS
from workloads.syncs import Scope as SyncScope

OF_FINDING = ("layout", "pin", "access")
"""Dimensions of which a finding has a value itself, "" where it concerns no file or worker."""
OR = "|"

Patterns = tuple[str, ...]
"""One of them must fit; none fits anything. `*` stands for any text."""


@dataclass(frozen=True, slots=True)
class Known:
    """A finding somebody knows. Fields that are empty, and dimensions that are left out, match anything."""

    name: str
    """What reports call it: small letters, digits and hyphens."""
    reason: str
    expires: str
    """The first day it counts again, as YYYY-MM-DD."""
    values: Mapping[str, Patterns] = field(default_factory=dict, hash=False)
    """By dimension. Values of a worker are those of one on the pages concerned, all of the same one. Its `sync` may also be
    that of another worker if it syncs the whole filesystem, and is `nothing` if it did not sync its last stores."""
    kind: Patterns = field(default=(), metadata=OPTIONAL)
    promise: str = field(default="", metadata=OPTIONAL)
    expected: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    """Parts of what was expected, in words; one must be in there."""
    found: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    """The same of what was found, such as a line of the kernel log."""
    circumstances: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    """Names of verify.circumstances that all must hold; of several joined by `|`, one."""
    kernel: str = field(default="", metadata=OPTIONAL)
    """Bounds of its release, as in torture.results.kernel_range."""
    fixed_by: str = field(default="", metadata=OPTIONAL)
    """The commit and, in parentheses, the release that has it first."""
    section: str = field(default="", metadata=OPTIONAL)
    """The heading in docs/kernel-behaviour.md that explains it, as its anchor."""
    plan: str = field(default="", metadata=OPTIONAL)
    """The file of the plan that shows it, kept with the packaged entries."""

    def __post_init__(self) -> None:
        """Malformed for a day or a dimension that there is not."""
        if unknown := self.values.keys() - DIMENSIONS.keys():
            raise Malformed(
                f"{shown(', '.join(sorted(unknown)))} is unknown", f"known are {', '.join(DIMENSIONS)}", "values"
            )
        try:
            date.fromisoformat(self.expires)
        except ValueError:
            raise Malformed(f"{shown(self.expires)} is no day", "write YYYY-MM-DD", "expires") from None

    def covers(self, finding: Finding, plan: Plan, release: str, today: date) -> bool:
        """Whether `finding` of a trial of `plan`, on a kernel that calls itself `release`, is excused."""
        return self.fits(finding, plan) and not self.barred(release, today)

    def barred(self, release: str, today: date) -> str:
        """Why it excuses nothing on this kernel and day, "" if it does."""
        if not is_within(release, self.kernel):
            fixed = f": fixed by {self.fixed_by}" if self.fixed_by else ""
            return f"it is known of kernels {self.kernel}, not of {release}{fixed}"
        return f"it expired on {self.expires}" if self.has_expired(today) else ""

    def has_expired(self, today: date) -> bool:
        """Whether its findings count again."""
        return today.isoformat() >= self.expires

    def fits(self, finding: Finding, plan: Plan) -> bool:
        """Whether `finding` of a trial of `plan` is what the entry describes, whatever kernel and day."""
        return (
            _fits(self.kind, finding.kind)
            and self.promise in ("", finding.promise)
            and _has(self.expected, finding.expected)
            and _has(self.found, finding.found)
            and all(set(wanted.split(OR)) & set(finding.circumstances) for wanted in self.circumstances)
            and self._fits_values(_common_values(plan, finding), plan, concerned(plan, finding))
        )

    def could_show(self, plan: Plan) -> bool:
        """Whether a trial of `plan` has the values that the entry names."""
        return self._fits_values(_values_of_plan(plan), plan, plan.workers)

    def _fits_values(self, common: Mapping[str, str], plan: Plan, workers: Iterable[WorkerPlan]) -> bool:
        if not all(_fits(patterns, common[name]) for name, patterns in self.values.items() if name in common):
            return False
        of_worker = [(name, patterns) for name, patterns in self.values.items() if name not in common]
        return not of_worker or any(
            all(any(_fits(patterns, have) for have in _values(plan, worker, name)) for name, patterns in of_worker)
            for worker in workers
        )


def _fits(patterns: Patterns, have: str) -> bool:
    return not patterns or any(fnmatchcase(have, pattern) for pattern in patterns)


def _has(parts: tuple[str, ...], text: str) -> bool:
    return not parts or any(part in text for part in parts)


def _values_of_plan(plan: Plan) -> dict[str, str]:
    return {name: row.value(plan, plan.workers[0]) for name, row in DIMENSIONS.items() if row.scope is Scope.plan}


def _common_values(plan: Plan, finding: Finding) -> dict[str, str]:
    """The values that a finding has whichever worker it concerns."""
    return _values_of_plan(plan) | {name: getattr(finding, name) for name in OF_FINDING}


def _values(plan: Plan, worker: WorkerPlan, name: str) -> set[str]:
    """The values of a worker that an entry may name."""
    if name == "sync":
        return _syncs(worker) | _whole_filesystem_syncs(plan)
    return set(DIMENSIONS[name].get(plan, worker)) or {DIMENSIONS[name].absent}


def _syncs(worker: WorkerPlan) -> set[str]:
    """The syncs of a worker, and `nothing` if it did not sync its last stores."""
    last = [op.kind for op in worker.ops if op.kind in ("store", "sync")][-1:]
    nothing = set[str]() if last == ["sync"] else {NO_SYNC}
    return nothing | {op.name for op in worker.ops if op.kind == "sync"}


def _whole_filesystem_syncs(plan: Plan) -> set[str]:
    """Syncs that promise something about what other workers stored."""
    names = {op.name for worker in plan.workers for op in worker.ops if op.kind == "sync"}
    return {name for name in names if SYNCS[name].scope is SyncScope.FILESYSTEM}


def concerned(plan: Plan, finding: Finding) -> list[WorkerPlan]:
    """The workers on the pages of a finding; all on the file where it has no pages, or the file is a clone."""
    on_file = [worker for worker in plan.workers if finding.file in (0, worker.file)]
    last_page = finding.first_page + finding.pages
    return [
        worker
        for worker in on_file or plan.workers
        if not finding.pages or (worker.first_page < last_page and finding.first_page < worker.first_page + worker.pages)
    ]

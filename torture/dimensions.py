"""The dimensions of the space in which plans are drawn: one row each. Pure.

Every worker of a plan has one value of each dimension: a filesystem, a fault, a pin ... A row says how its dimension is
named, which values it has, how a value is read from a plan and put into one. Requests, options, campaign files, draws,
coverage, known findings, shrinkers and factors loop over `DIMENSIONS` when they are used: a new dimension is a new row.

The table needs those of `torture.faults` and `torture.filesystems`, so it stands above them and below what draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial

from torture.errors import BadRequest
from torture.faults import FAULTS, fault_class, parse, parts
from torture.filesystems import FILESYSTEMS, filesystem
from torture.plan import FaultSpec, Plan
from workloads.access import ACCESSES
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS
from workloads.plan import WorkerPlan
from workloads.syncs import SYNCS

ALL = "all"
NO_DISTURBANCE = "none"
NO_SYNC = "nothing"
BACKGROUND = "background"

Values = Mapping[str, str]
"""One value each of some dimensions, by the names of these."""


class Scope(Enum):
    """What has one value of a dimension."""

    plan = 0
    file = 1
    worker = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One row."""

    name: str
    """What plans' readers call it: combinations, requests, reports, entries of `[[known]]`."""
    option: str
    """What the command line and `[include]` and `[exclude]` of a campaign file call it."""
    noun: str
    """What it is called in a sentence."""
    values: tuple[str, ...]
    """All of them, as `all` gives them."""
    usual: tuple[str, ...]
    """Those that `torture run` takes where nothing was asked for, the first the one that `torture plan` takes."""
    plainest: str
    """What shrinking goes to, and what a draw has that does not vary this dimension."""
    get: Callable[[Plan, WorkerPlan], tuple[str, ...]]
    """The values that a plan has for one of its workers: the first is the one that is drawn, a plan of another origin may
    have more, or none."""
    put: Callable[[Plan, WorkerPlan, str, str], Plan] | None = None
    """The plan with a new value in the place of an old one; None: a value is no word to exchange for another."""
    scope: Scope = Scope.worker
    absent: str = ""
    """The value of a worker for which `get` finds none."""
    seldom: frozenset[str] = frozenset()
    """Values that are not drawn unless they are named."""
    composed: tuple[str, ...] = ()
    """Values together that are drawn from the whole space besides the single ones."""
    read: Callable[[str], tuple[str, ...]] | None = None
    """The values that a text asks for together, BadRequest for none; None: every value is written as it is."""
    offered: Callable[[str, Values], bool] = lambda value, beside: True
    """Whether a value can be had beside those of other dimensions, the filesystem at least."""
    interest: Mapping[str, int] = field(default_factory=dict)
    """How much the pairwise draw cares for values, where that is not 2."""
    form: str = ""
    """What help says of the values; "": it lists them."""

    @property
    def whole(self) -> tuple[str, ...]:
        """The values of the whole space."""
        return (*(value for value in self.values if value not in self.seldom), *self.composed)

    @property
    def by_plainness(self) -> tuple[str, ...]:
        """All values, the plainest first."""
        return tuple(dict.fromkeys((self.plainest, *self.values)))

    def value(self, plan: Plan, worker: WorkerPlan) -> str:
        """The value that a worker of `plan` has, whoever made the plan."""
        return next(iter(self.get(plan, worker)), self.absent)

    def holders(self, plan: Plan) -> list[WorkerPlan]:
        """A worker for each value that a plan has: every worker, or the first of each file or of the plan."""
        if self.scope is Scope.worker:
            return list(plan.workers)
        first = {worker.file: worker for worker in reversed(plan.workers)}
        of_files = [worker for worker in plan.workers if first[worker.file] is worker]
        return of_files if self.scope is Scope.file else of_files[:1]

    def parts(self, text: str) -> tuple[str, ...]:
        """The values that `text` asks for, more than one if they come together. BadRequest for what is no value."""
        if self.read:
            return self.read(text)
        if text not in self.values:
            raise BadRequest(f"{self.noun} {text!r} is unknown", f"allowed are {', '.join(self.values)} and {ALL}")
        return (text,)

    def label(self, text: str) -> str:
        """The value that `value` reads from a plan in which there is what `text` asks for."""
        return "+".join(self.parts(text))

    def choose(self, given: Iterable[str], default: tuple[str, ...]) -> tuple[str, ...]:
        """What was asked for: the texts given, every value for `all`, `default` for none. BadRequest as from `parts`."""
        texts = tuple(dict.fromkeys(given))
        if ALL in texts:
            return self.values
        for text in texts:
            self.parts(text)
        return texts or default

    def available(self, asked: tuple[str, ...], beside: Values) -> tuple[str, ...]:
        """Of what was asked for, what can be had; all of it if nothing can: then the trial says why not."""
        return tuple(value for value in asked if self.offered(value, beside)) or asked


def with_worker(plan: Plan, worker: WorkerPlan) -> Plan:
    """The plan with `worker` in the place of the one with its number."""
    return replace(plan, workers=tuple(worker if each.worker == worker.worker else each for each in plan.workers))


def _faults(text: str) -> tuple[str, ...]:
    return tuple(part.name for part in parts(parse(text)))


def _layout(plan: Plan, worker: WorkerPlan) -> str:
    return next(file.layout for file in plan.files if file.file == worker.file)


def _put_layout(plan: Plan, worker: WorkerPlan, old: str, new: str) -> Plan:
    """Files are named after their layouts, and workers name their files."""
    name = f"{worker.file}-{new}"
    files = (replace(each, layout=new, name=name) if each.file == worker.file else each for each in plan.files)
    workers = (replace(each, path=name) if each.file == worker.file else each for each in plan.workers)
    return replace(plan, files=tuple(files), workers=tuple(workers))


def _offers_layout(layout: str, beside: Values) -> bool:
    return filesystem(beside["filesystem"]).has(LAYOUTS[layout].needs)


def _put_pin(plan: Plan, worker: WorkerPlan, old: str, new: str) -> Plan:
    return with_worker(plan, replace(worker, pin=new))


def _put_access(plan: Plan, worker: WorkerPlan, old: str, new: str) -> Plan:
    return with_worker(plan, replace(worker, access=new))


def _syncs(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    return tuple(dict.fromkeys(op.name for op in worker.ops if op.kind == "sync"))


def _put_sync(plan: Plan, worker: WorkerPlan, old: str, new: str) -> Plan:
    ops = (replace(op, name=new) if op.kind == "sync" and op.name == old else op for op in worker.ops)
    return with_worker(plan, replace(worker, ops=tuple(ops)))


def _background(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    return ("yes" if any(op.kind == BACKGROUND for op in worker.ops) else "no",)


def _disturbances(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    """Those between stores and syncs: the first operations may belong to the layout."""
    ops = worker.ops[len(LAYOUTS[_layout(plan, worker)].opening) :]
    return tuple(op.kind for op in ops if op.kind in DISTURBANCES and op.kind != BACKGROUND)


def _offers_disturbance(name: str, beside: Values) -> bool:
    if name == NO_DISTURBANCE:
        return True
    row, disturbance = filesystem(beside["filesystem"]), DISTURBANCES[name]
    if name in row.stalls and _refuses_metadata(beside.get("fault", "none")):
        return False
    return row.has(disturbance.needs) and ("pin" not in beside or disturbance.suits(beside["pin"]))


def _refuses_metadata(fault: str) -> bool:
    return any(fault_class(part.name).refuses_metadata for part in parts(FaultSpec(fault, {})))


def words_of(plan: Plan) -> Iterator[tuple[Dimension, str, Callable[[str], Plan]]]:
    """Each value in a plan that can be exchanged for another: its dimension, the value, and what makes the plan with
    another in its place."""
    for row in DIMENSIONS.values():
        if row.put:
            for worker in row.holders(plan):
                for old in row.get(plan, worker):
                    yield row, old, partial(row.put, plan, worker, old)


DIMENSIONS: dict[str, Dimension] = {
    row.name: row
    for row in (
        Dimension(
            name="filesystem",
            option="fs",
            noun="filesystem",
            values=tuple(FILESYSTEMS),
            usual=("ext4", "xfs", "btrfs", "f2fs", "ext2", "jfs"),
            plainest="ext4",
            get=lambda plan, worker: (plan.filesystem,),
            scope=Scope.plan,
            form="a filesystem",
        ),
        Dimension(
            name="fault",
            option="fault",
            noun="fault",
            values=tuple(name for name, fault in FAULTS.items() if not fault.canary),
            usual=("none", "enospc", "power-cut"),
            plainest="none",
            get=lambda plan, worker: (plan.fault_names,),
            scope=Scope.plan,
            composed=("enospc+power-cut", "enospc+shutdown", "edquot-user+power-cut"),
            read=_faults,
            interest={"enospc": 3},
            form="a fault, as NAME or NAME:KEY=NUMBER",
        ),
        Dimension(
            name="pin",
            option="pin",
            noun="pin",
            values=tuple(PINS),
            usual=("mlock", "mlock2-onfault", "map-locked"),
            plainest="none",
            get=lambda plan, worker: (worker.pin,),
            put=_put_pin,
            interest={"none": 1},
        ),
        Dimension(
            name="layout",
            option="layout",
            noun="layout",
            values=tuple(LAYOUTS),
            usual=("hole", "unwritten", "written", "reflinked"),
            plainest="written",
            get=lambda plan, worker: (_layout(plan, worker),),
            put=_put_layout,
            scope=Scope.file,
            offered=_offers_layout,
        ),
        Dimension(
            name="access",
            option="access",
            noun="access path",
            values=tuple(ACCESSES),
            usual=("store", "read"),
            plainest="store",
            get=lambda plan, worker: (worker.access,),
            put=_put_access,
        ),
        Dimension(
            name="sync",
            option="sync",
            noun="sync",
            values=tuple(SYNCS),
            usual=("msync", "fsync"),
            plainest="msync",
            get=_syncs,
            put=_put_sync,
            absent=NO_SYNC,
        ),
        Dimension(
            name="background",
            option="background",
            noun="background writeback",
            values=("yes", "no"),
            usual=("yes", "no"),
            plainest="no",
            get=_background,
            interest={"yes": 3},
            form="whether background writeback comes before the first sync, yes or no",
        ),
        Dimension(
            name="disturbance",
            option="disturbance",
            noun="disturbance",
            values=(NO_DISTURBANCE, *DISTURBANCES),
            usual=(NO_DISTURBANCE,),
            plainest=NO_DISTURBANCE,
            get=_disturbances,
            absent=NO_DISTURBANCE,
            seldom=frozenset({BACKGROUND, *(name for name, row in DISTURBANCES.items() if row.seldom)}),
            offered=_offers_disturbance,
            interest={NO_DISTURBANCE: 1},
        ),
    )
}
"""In the order in which a plan is drawn."""

"""The dimensions of the space in which plans are drawn: one row each. Pure.

Every worker of a plan has one value of each dimension: a filesystem, a fault, a pin ... A row says how its dimension is
named, which values it has, and how a value is read from a plan and put into one. Requests, options, campaign files, draws,
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
from torture.filesystems import FILESYSTEMS, USUAL, filesystem
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


@dataclass(frozen=True, slots=True)
class Dimension:
    """One row."""

    name: str
    """What combinations, requests, reports and entries of the known list call it."""
    values: tuple[str, ...]
    """All of them, in the order in which `all` gives them."""
    usual: tuple[str, ...]
    """Those that `torture run` takes where none was asked for; the first is the one that `torture plan` takes."""
    plainest: str
    """What shrinking goes to, and what plans have whose draw does not vary this dimension."""
    get: Callable[[Plan, WorkerPlan], tuple[str, ...]]
    """The values of a worker in a plan. One that was drawn has one value or none, others may have several."""
    put: Callable[[Plan, WorkerPlan, str, str], Plan] | None = None
    """The plan with a new value in the place of an old one. None: values are operations of their own, or are kept."""
    scope: Scope = Scope.worker
    absent: str = ""
    """The value of a worker for which `get` finds none."""
    seldom: frozenset[str] = frozenset()
    """Values that are not drawn unless they are named."""
    composed: tuple[str, ...] = ()
    """Values that come together, which are drawn from the whole space besides the single ones."""
    read: Callable[[str], tuple[str, ...]] | None = None
    """The values that a text asks for together, or BadRequest. None: a text is a value."""
    offered: Callable[[str, Values], bool] = lambda value, beside: True
    """Whether a value can be had beside those of other dimensions, of which the filesystem is always there."""
    interest: Mapping[str, int] = field(default_factory=dict)
    """How much values count in the pairwise draw, if not 2."""
    option: str = ""
    """What the command line, and `[include]` and `[exclude]` of a campaign file, call it; "": as its name is."""
    noun: str = ""
    """What sentences call it; "": as its name is."""
    form: str = ""
    """What help says of the values; "": it lists them."""

    def __post_init__(self) -> None:
        for called in ("option", "noun"):
            object.__setattr__(self, called, getattr(self, called) or self.name)

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


def _filesystem(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    return (plan.filesystem,)


def _fault(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    return (plan.fault_names,)


def _read_faults(text: str) -> tuple[str, ...]:
    return tuple(part.name for part in parts(parse(text)))


def _layout(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    return (next(file.layout for file in plan.files if file.file == worker.file),)


def _put_layout(plan: Plan, worker: WorkerPlan, old: str, new: str) -> Plan:
    """Files are named after their layouts, and workers name their files."""
    name = f"{worker.file}-{new}"
    files = (replace(each, layout=new, name=name) if each.file == worker.file else each for each in plan.files)
    workers = (replace(each, path=name) if each.file == worker.file else each for each in plan.workers)
    return replace(plan, files=tuple(files), workers=tuple(workers))


def _offers_layout(layout: str, beside: Values) -> bool:
    return filesystem(beside["filesystem"]).has(LAYOUTS[layout].needs)


def _pin(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    return (worker.pin,)


def _put_pin(plan: Plan, worker: WorkerPlan, old: str, new: str) -> Plan:
    return with_worker(plan, replace(worker, pin=new))


def _access(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    return (worker.access,)


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
    (layout,) = _layout(plan, worker)
    ops = worker.ops[len(LAYOUTS[layout].opening) :]
    return tuple(op.kind for op in ops if op.kind in DISTURBANCES and op.kind != BACKGROUND)


def _offers_disturbance(name: str, beside: Values) -> bool:
    if name == NO_DISTURBANCE:
        return True
    row, disturbance = filesystem(beside["filesystem"]), DISTURBANCES[name]
    if disturbance.awaits_metadata and not row.has("gives-up") and _refuses_metadata(beside.get("fault", "none")):
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


_FAULTS = tuple(name for name, fault in FAULTS.items() if not fault.canary)
_PINS = ("mlock", "mlock2-onfault", "map-locked")
_LAYOUTS = ("hole", "unwritten", "written", "reflinked")
_SELDOM = frozenset({BACKGROUND, *(name for name, row in DISTURBANCES.items() if row.seldom)})
_COMPOSED = ("enospc+power-cut", "enospc+shutdown", "edquot-user+power-cut")

DIMENSIONS: dict[str, Dimension] = {
    row.name: row
    for row in (
        Dimension(
            name="filesystem",
            values=tuple(FILESYSTEMS),
            usual=USUAL,
            plainest=USUAL[0],
            get=_filesystem,
            scope=Scope.plan,
            option="fs",
            form="a filesystem",
        ),
        Dimension(
            name="fault",
            values=_FAULTS,
            usual=("none", "enospc", "power-cut"),
            plainest="none",
            get=_fault,
            scope=Scope.plan,
            composed=_COMPOSED,
            read=_read_faults,
            interest={"enospc": 3},
            form="a fault, as NAME or NAME:KEY=NUMBER",
        ),
        Dimension("pin", tuple(PINS), _PINS, "none", _pin, _put_pin, interest={"none": 1}),
        Dimension("layout", tuple(LAYOUTS), _LAYOUTS, "written", _layout, _put_layout, Scope.file, offered=_offers_layout),
        Dimension("access", tuple(ACCESSES), ("store", "read"), "store", _access, _put_access, noun="access path"),
        Dimension("sync", tuple(SYNCS), ("msync", "fsync"), "msync", _syncs, _put_sync, absent=NO_SYNC),
        Dimension(
            name="background",
            values=("yes", "no"),
            usual=("yes", "no"),
            plainest="no",
            get=_background,
            interest={"yes": 3},
            noun="background writeback",
            form="whether background writeback comes before the first sync, yes or no",
        ),
        Dimension(
            name="disturbance",
            values=(NO_DISTURBANCE, *DISTURBANCES),
            usual=(NO_DISTURBANCE,),
            plainest=NO_DISTURBANCE,
            get=_disturbances,
            absent=NO_DISTURBANCE,
            seldom=_SELDOM,
            offered=_offers_disturbance,
            interest={NO_DISTURBANCE: 1},
        ),
    )
}
"""In the order in which a plan is drawn."""

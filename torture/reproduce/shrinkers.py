"""Simpler values of each type, and from them simpler plans. Nothing here knows of trials. Pure.

A shrinker of values yields simpler values of one type, the boldest first. A shrinker of plans applies one of them to
one dimension. Everything yielded is strictly simpler than what was given, so that a search over them ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torture.faults import fault_class
from torture.plan import FaultSpec, FilePlan, Plan
from workloads.access import ACCESSES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS
from workloads.plan import Op, WorkerPlan
from workloads.syncs import SYNCS

T = TypeVar("T")

NOTHING = FaultSpec("none", {})
LAYOUTS_BY_PLAINNESS = tuple(dict.fromkeys(("written", "hole", *LAYOUTS)))
_BOLDEST = 2
"""How many of the plainest words of a dimension are tried."""


@dataclass(frozen=True, slots=True)
class Step:
    """A simpler plan, and what was made simpler."""

    what: str
    plan: Plan


Shrinker = Callable[[Plan], Iterator[Step]]


# -- values -----------------------------------------------------------------------------------------------------------


def subsets(values: Sequence[T], fewest: int = 0) -> Iterator[tuple[T, ...]]:
    """Parts of a sequence: nothing, each half alone, each half, quarter ... left out, down to single values.

    Delta debugging: A. Zeller and R. Hildebrandt, IEEE Transactions on Software Engineering 28 (2002).
    """
    seen: set[tuple[int, ...]] = {tuple(range(len(values)))}
    for places in _parts(len(values)):
        if len(places) >= fewest and places not in seen:
            seen.add(places)
            yield tuple(values[place] for place in places)


def _parts(length: int) -> Iterator[tuple[int, ...]]:
    everything = tuple(range(length))
    yield ()
    size = -(-length // 2)
    while size:
        chunks = [everything[first : first + size] for first in range(0, length, size)]
        yield from chunks
        yield from (tuple(place for place in everything if place not in chunk) for chunk in chunks)
        size = size // 2


def smaller(value: int, lowest: int) -> Iterator[int]:
    """Smaller numbers: the lowest, half way there, one less."""
    yield from (each for each in dict.fromkeys((lowest, (lowest + value) // 2, value - 1)) if lowest <= each < value)


def plainer(word: str, order: Sequence[str]) -> Iterator[str]:
    """The plainest words of an order, as far as they stand before `word`."""
    place = order.index(word) if word in order else len(order)
    yield from order[: min(place, _BOLDEST)]


# -- plans ------------------------------------------------------------------------------------------------------------


def fewer_files(plan: Plan) -> Iterator[Step]:
    """Leave files out, with their workers."""
    for files in subsets(plan.files, 1):
        kept = {file.file for file in files}
        workers = tuple(worker for worker in plan.workers if worker.file in kept)
        if workers:
            yield Step(f"{len(files)} of {len(plan.files)} files", packed(replace(plan, files=files, workers=workers)))


def fewer_workers(plan: Plan) -> Iterator[Step]:
    """Leave workers out, and files that no worker has."""
    for workers in subsets(plan.workers, 1):
        yield Step(f"{len(workers)} of {len(plan.workers)} workers", packed(replace(plan, workers=workers)))


def fewer_faults(plan: Plan) -> Iterator[Step]:
    """Leave faults out; with none of them left, nothing goes wrong."""
    if plan.faults in ((), (NOTHING,)):
        return
    for faults in subsets(plan.faults):
        yield Step("no fault" if not faults else "fewer faults", replace(plan, faults=faults or (NOTHING,)))


def milder_faults(plan: Plan) -> Iterator[Step]:
    """Lower the parameters of faults."""
    for place, fault in enumerate(plan.faults):
        for name, parameter in fault_class(fault.name).taken().items():
            value = fault.parameters.get(name, parameter.default)
            for lower in smaller(int(value), parameter.lowest):
                milder = FaultSpec(fault.name, {**fault.parameters, name: lower})
                yield Step(f"{fault.name}:{name}={lower}", replace(plan, faults=_put(plan.faults, place, milder)))


def fewer_options(plan: Plan) -> Iterator[Step]:
    """Leave options of mkfs and mount out, and the limit on locked memory."""
    for options in subsets(plan.mkfs_options):
        yield Step("fewer mkfs options", replace(plan, mkfs_options=options))
    for options in subsets(plan.mount_options):
        yield Step("fewer mount options", replace(plan, mount_options=options))
    if plan.memlock_bytes != -1:
        yield Step("no limit on locked memory", replace(plan, memlock_bytes=-1))


def fewer_operations(plan: Plan) -> Iterator[Step]:
    """Leave operations out; every worker keeps one."""
    for place, worker in enumerate(plan.workers):
        for ops in subsets(worker.ops, 1):
            what = f"{len(ops)} of {len(worker.ops)} operations of worker {worker.worker}"
            yield Step(what, _with_worker(plan, place, replace(worker, ops=ops)))


def fewer_pages(plan: Plan) -> Iterator[Step]:
    """Let workers own fewer pages."""
    for place, worker in enumerate(plan.workers):
        for pages in smaller(worker.pages, 1):
            what = f"{pages} pages for worker {worker.worker}"
            yield Step(what, packed(_with_worker(plan, place, _cut(worker, pages))))


def plainer_words(plan: Plan) -> Iterator[Step]:
    """Turn pins, access paths, syncs and layouts to plainer ones."""
    for dimension, order in (("pin", tuple(PINS)), ("access", tuple(ACCESSES)), ("sync", tuple(SYNCS))):
        for place in range(len(plan.workers)):
            for word in dict.fromkeys(words_of(plan, dimension, place)):
                for plain in plainer(word, order):
                    yield Step(f"{dimension} {plain}", with_word(plan, dimension, place, word, plain))
    for place, file in enumerate(plan.files):
        for plain in plainer(file.layout, LAYOUTS_BY_PLAINNESS):
            yield Step(f"layout {plain}", with_word(plan, "layout", place, file.layout, plain))


SHRINKERS: tuple[Shrinker, ...] = (
    fewer_files,
    fewer_workers,
    fewer_faults,
    fewer_options,
    fewer_operations,
    milder_faults,
    fewer_pages,
    plainer_words,
)


# -- parts of plans ---------------------------------------------------------------------------------------------------


def words_of(plan: Plan, dimension: str, place: int) -> list[str]:
    """The words that the worker (for layouts: the file) at `place` has in a dimension."""
    if dimension == "layout":
        return [plan.files[place].layout]
    worker = plan.workers[place]
    if dimension == "sync":
        return [op.name for op in worker.ops if op.kind == "sync"]
    return [worker.pin if dimension == "pin" else worker.access]


def with_word(plan: Plan, dimension: str, place: int, old: str, new: str) -> Plan:
    """The plan with `new` for `old`."""
    if dimension == "layout":
        return _with_layout(plan, place, new)
    worker = plan.workers[place]
    if dimension == "pin":
        return _with_worker(plan, place, replace(worker, pin=new))
    if dimension == "access":
        return _with_worker(plan, place, replace(worker, access=new))
    ops = (replace(op, name=new) if op.kind == "sync" and op.name == old else op for op in worker.ops)
    return _with_worker(plan, place, replace(worker, ops=tuple(ops)))


def _with_layout(plan: Plan, place: int, layout: str) -> Plan:
    """Files are named after their layouts, and workers name their files."""
    old = plan.files[place]
    file = replace(old, layout=layout, name=f"{old.file}-{layout}")
    workers = (replace(each, path=file.name) if each.file == file.file else each for each in plan.workers)
    return replace(plan, files=_put(plan.files, place, file), workers=tuple(workers))


def packed(plan: Plan) -> Plan:
    """The plan without files that no worker has, and with the workers' pages moved together."""
    workers: dict[int, WorkerPlan] = {}
    files: list[FilePlan] = []
    for file in plan.files:
        end = 0
        for worker in sorted((each for each in plan.workers if each.file == file.file), key=lambda one: one.first_page):
            workers[worker.worker] = _moved(worker, end)
            end += worker.pages
        if end:
            files.append(replace(file, pages=end))
    return replace(plan, files=tuple(files), workers=tuple(workers[worker.worker] for worker in plan.workers))


def _moved(worker: WorkerPlan, first_page: int) -> WorkerPlan:
    by = first_page - worker.first_page
    ops = tuple(replace(op, first_page=op.first_page + by) if op.pages else op for op in worker.ops)
    return replace(worker, first_page=first_page, ops=ops)


def _cut(worker: WorkerPlan, pages: int) -> WorkerPlan:
    end = worker.first_page + pages
    return replace(worker, pages=pages, ops=tuple(_clipped(op, end) for op in worker.ops))


def _clipped(op: Op, end: int) -> Op:
    if not op.pages:
        return op
    first = min(op.first_page, end - 1)
    return replace(op, first_page=first, pages=min(op.pages, end - first))


def _with_worker(plan: Plan, place: int, worker: WorkerPlan) -> Plan:
    return replace(plan, workers=_put(plan.workers, place, worker))


def _put(values: Sequence[T], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])

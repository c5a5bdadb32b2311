"""Simpler values of each type, and from them simpler plans. Nothing here knows of trials. Pure.

A shrinker of values yields simpler values of one type, the boldest first. A shrinker of plans applies one of them to
one dimension. Everything yielded is strictly simpler than what was given, so that a search over them ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torture.dimensions import with_worker, words_of
from torture.faults import fault_class
from torture.plan import FaultSpec, FilePlan, Plan
from workloads.plan import Op, WorkerPlan

T = TypeVar("T")

NOTHING = FaultSpec("none", {})
_BOLDEST = 2
"""How many of the plainest words of a dimension are tried."""


@dataclass(frozen=True, slots=True)
class Step:
    """A simpler plan."""

    what: str
    """What was made simpler, in words."""
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
    for worker in plan.workers:
        for ops in subsets(worker.ops, 1):
            what = f"{len(ops)} of {len(worker.ops)} operations of worker {worker.worker}"
            yield Step(what, with_worker(plan, replace(worker, ops=ops)))


def fewer_pages(plan: Plan) -> Iterator[Step]:
    """Let workers own fewer pages."""
    for worker in plan.workers:
        for pages in smaller(worker.pages, 1):
            what = f"{pages} pages for worker {worker.worker}"
            yield Step(what, packed(with_worker(plan, _cut(worker, pages))))


def plainer_words(plan: Plan) -> Iterator[Step]:
    """Turn pins, layouts, access paths, syncs and other values to plainer ones."""
    for row, word, exchanged_for in words_of(plan):
        for plain in plainer(word, row.by_plainness):
            yield Step(f"{row.name} {plain}", exchanged_for(plain))


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


def _put(values: Sequence[T], place: int, value: T) -> tuple[T, ...]:
    return (*values[:place], value, *values[place + 1 :])

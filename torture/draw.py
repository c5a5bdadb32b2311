"""Draws plans from a request: pure, and the same for the same seed everywhere.

One trial of a filesystem and fault has a file for each layout and, on each file, workers that differ in pin, access
path and sync; so a few trials touch every value. Each plan with a pin is followed by its control arm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import gcd
from random import Random

from torture.faults import fault_class
from torture.filesystems import filesystem
from torture.plan import FaultSpec, FilePlan, Plan, WorkerSpec
from torture.request import Request
from workloads.plan import Op

_NEEDS = {"unwritten": "unwritten", "reflinked": "reflink"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan and why it is there: arm "canary", "pinned" or "control"."""

    plan: Plan
    arm: str


@dataclass(frozen=True, slots=True)
class _Manner:
    """How one worker goes about it. `background`: writeback comes before the first sync."""

    pin: str
    access: str
    sync: str
    background: bool


def draw(request: Request, canary_fault: str) -> list[Drawn]:
    """All trials of a request in the order to run them: canaries first, breadth before depth, no plan twice."""
    drawn: dict[str, Drawn] = {}
    for item in _ordered(request, canary_fault):
        drawn.setdefault(item.plan.identity, item)
    return list(drawn.values())


def _ordered(request: Request, canary_fault: str) -> Iterator[Drawn]:
    if request.canary:
        for name in request.filesystems:
            yield Drawn(_canary(request, name, canary_fault), "canary")
    for turn in range(request.count):
        for fault, name in product(request.faults, request.filesystems):
            for plan in _plans(request, name, fault, turn):
                yield Drawn(plan, "control" if plan.is_control else "pinned")
                if request.control and not plan.is_control:
                    yield Drawn(plan.control(), "control")


def _canary(request: Request, name: str, fault: str) -> Plan:
    manner = _Manner("mlock", "store", "msync", background=False)
    return _plan(request, name, FaultSpec(fault, {}), request.seed, ("hole",), [[manner]])


def _plans(request: Request, name: str, fault: FaultSpec, turn: int) -> Iterator[Plan]:
    random = Random(f"{request.seed}/{name}/{fault.name}/{turn}")
    seed = random.getrandbits(63)
    layouts = tuple(layout for layout in request.layouts if _offers(name, layout)) or request.layouts
    manners = _manners(request, fault)
    if turn:
        random.shuffle(manners)
    if request.representative:
        start = 0 if turn == 0 else random.randrange(len(manners))
        yield _plan(request, name, fault, seed, layouts, _rotate(manners, start, len(layouts), request.workers))
        return
    for first in range(0, len(manners), request.workers):
        chunk = manners[first : first + request.workers]
        yield _plan(request, name, fault, seed + first, layouts, [chunk] * len(layouts))


def _offers(name: str, layout: str) -> bool:
    """Whether the filesystem has `layout`; asked for alone, it is planned all the same and ends as notrun."""
    return layout not in _NEEDS or filesystem(name).has(_NEEDS[layout])


def _manners(request: Request, fault: FaultSpec) -> list[_Manner]:
    """The product of a worker's dimensions, neighbours differing in as many of them as possible."""
    whole = [
        _Manner(pin, access, sync, background)
        for background, sync, access, pin in product(
            (False, True), request.syncs, request.accesses, request.pins
        )
    ]
    if request.representative and fault.name == "none":
        whole.append(_Manner(request.pins[0], request.accesses[0], "nothing", background=False))
    step = _coprime_step(len(whole))
    return [whole[index * step % len(whole)] for index in range(len(whole))]


def _coprime_step(length: int) -> int:
    return next((step for step in range(length // 2 + 1, length) if gcd(step, length) == 1), 1)


def _rotate(manners: list[_Manner], start: int, files: int, workers: int) -> list[list[_Manner]]:
    """Manners for each file, walking on through the list; the first worker of every file is the plainest one."""
    position = start
    chosen = []
    for _ in range(files):
        row = [manners[0]]
        for _ in range(workers - 1):
            position += 1
            row.append(manners[position % len(manners)])
        chosen.append(row)
    return chosen


def _plan(
    request: Request, name: str, fault: FaultSpec, seed: int, layouts: tuple[str, ...], manners: list[list[_Manner]]
) -> Plan:
    files = tuple(
        FilePlan(number, f"{number}-{layout}", layout, request.pages * len(row))
        for number, (layout, row) in enumerate(zip(layouts, manners, strict=True), 1)
    )
    placed = [
        (file.file, place * request.pages, manner)
        for file, row in zip(files, manners, strict=True)
        for place, manner in enumerate(row)
    ]
    workers = tuple(
        _worker(worker, file, first_page, request.pages, manner)
        for worker, (file, first_page, manner) in enumerate(placed, 1)
    )
    return Plan(
        seed=seed,
        filesystem=name,
        files=files,
        workers=workers,
        faults=(fault,),
        mkfs_options=request.mkfs_options,
        mount_options=request.mount_options,
        memlock_bytes=request.memlock_bytes,
        page_bytes=request.page_bytes,
    )


def _worker(worker: int, file: int, first_page: int, pages: int, manner: _Manner) -> WorkerSpec:
    return WorkerSpec(worker, file, first_page, pages, manner.pin, manner.access, _ops(first_page, pages, manner))


def _ops(first_page: int, pages: int, manner: _Manner) -> tuple[Op, ...]:
    """Store, sync, store again (after the writeback the page must be asked for again), sync again."""
    store = Op("store", first_page, pages)
    background = (Op("background"),) if manner.background else ()
    if manner.sync == "nothing":
        return (store, *background)
    sync = Op("sync", name=manner.sync)
    return (store, *background, sync, store, sync)


def is_canary(plan: Plan) -> bool:
    """Whether the plan plants a loss."""
    return any(fault_class(spec.name).canary for spec in plan.faults)

"""Draws plans from a request: pure, and the same for the same seed everywhere.

One trial of a filesystem and fault has a file for each layout and, on each file, workers that differ in pin, access
path and sync; so a few trials touch every value. Each plan with a pin is followed by its control arm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from random import Random

from torture.draw.arm import Arm, arm_of
from torture.draw.pairwise import draw_plans
from torture.draw.request import Request
from torture.faults import fault_class, parts
from torture.faults.base import Fault
from torture.faults.canaries.zeroed_file import ZeroedFile
from torture.faults.gates import with_gates
from torture.filesystems import filesystem
from torture.plan import FaultSpec, FilePlan, Plan
from workloads.layouts import LAYOUTS
from workloads.plan import Op, WorkerPlan


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan and why it is there."""

    plan: Plan
    arm: Arm

    @property
    def is_canary(self) -> bool:
        """Whether it plants a loss."""
        return self.arm is Arm.canary


@dataclass(frozen=True, slots=True)
class _Way:
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


def canaries(request: Request, fault: str) -> Iterator[Drawn]:
    """A canary for each filesystem of a request, if it has any; `fault` is the plant where the filesystem has a disk."""
    if not request.canary:
        return
    given = [Plan.from_json(text).filesystem for text in request.plans]
    for name in dict.fromkeys(given or request.filesystems):
        yield Drawn(_canary(request, name, fault), Arm.canary)


def _ordered(request: Request, canary_fault: str) -> Iterator[Drawn]:
    yield from canaries(request, canary_fault)
    plans = draw_plans(request) if request.pairwise else map(Plan.from_json, request.plans)
    for plan in plans:
        yield from _arms(request, plan)
    for turn in range(0 if request.pairwise or request.plans else request.count):
        for fault, name in product(request.faults, request.filesystems):
            for plan in _plans(request, name, fault, turn):
                yield from _arms(request, plan)


def _arms(request: Request, plan: Plan) -> Iterator[Drawn]:
    yield Drawn(plan, arm_of(plan))
    if request.control and not plan.is_control:
        yield Drawn(plan.control(), Arm.control)


def _canary(request: Request, name: str, fault: str) -> Plan:
    combination = _Way("mlock", "store", "msync", background=False)
    fault = ZeroedFile.name if filesystem(name).volatile else fault
    return _plan(request, name, FaultSpec(fault, {}), request.seed, ("hole",), [[combination]])


def _plans(request: Request, name: str, fault: FaultSpec, turn: int) -> Iterator[Plan]:
    random = Random(f"{request.seed}/{name}/{fault.name}/{turn}")
    seed = random.getrandbits(63)
    layouts = tuple(layout for layout in request.layouts if _offers(name, layout)) or request.layouts
    if request.representative:
        place = request.faults.index(fault) * len(layouts) if turn == 0 else random.randrange(1 << 16)
        combinations = _sample(request, len(layouts), place)
        if fault.name == "none":
            combinations[-1][-1] = replace(combinations[-1][-1], sync="nothing")
        yield _plan(request, name, fault, seed, layouts, combinations)
        return
    whole = _product(request)
    if turn:
        random.shuffle(whole)
    for first in range(0, len(whole), request.workers):
        chunk = whole[first : first + request.workers]
        yield _plan(request, name, fault, seed + first, layouts, [chunk] * len(layouts))


def _offers(name: str, layout: str) -> bool:
    """Whether the filesystem has `layout`; asked for alone, it is planned all the same and ends as notrun."""
    return filesystem(name).has(LAYOUTS[layout].needs)


def _product(request: Request) -> list[_Way]:
    """Every way for a worker that the request names."""
    return [
        _Way(pin, access, sync, background)
        for background, sync, access, pin in product((False, True), request.syncs, request.accesses, request.pins)
    ]


def _sample(request: Request, files: int, place: int) -> list[list[_Way]]:
    """Combinations for the workers of each file: the first is always the plainest, the others walk through the values so
    that neighbours differ in pin, access path and whether background writeback comes first."""
    plainest = _Way(request.pins[0], request.accesses[0], request.syncs[0], background=False)
    places = iter(range(place, place + files * request.workers))
    return [[plainest, *(_walk(request, next(places)) for _ in range(request.workers - 1))] for _ in range(files)]


def _walk(request: Request, place: int) -> _Way:
    pair, half = divmod(place, 2)
    return _Way(
        pin=request.pins[(place + 1) % len(request.pins)],
        access=request.accesses[(half + 1) % len(request.accesses)],
        sync=request.syncs[(pair + 1) % len(request.syncs)],
        background=(pair + half) % 2 == 0,
    )


def _plan(
    request: Request, name: str, fault: FaultSpec, seed: int, layouts: tuple[str, ...], combinations: list[list[_Way]]
) -> Plan:
    files = tuple(
        FilePlan(number, f"{number}-{layout}", layout, request.pages * len(row))
        for number, (layout, row) in enumerate(zip(layouts, combinations, strict=True), 1)
    )
    placed = [
        (file, place * request.pages, combination)
        for file, row in zip(files, combinations, strict=True)
        for place, combination in enumerate(row)
    ]
    workers = tuple(
        _worker(worker, file, first_page, request.pages, combination, fault_class(parts(fault)[-1].name))
        for worker, (file, first_page, combination) in enumerate(placed, 1)
    )
    return Plan(
        seed=seed,
        filesystem=name,
        files=files,
        workers=workers,
        faults=parts(fault),
        mkfs_options=request.mkfs_options,
        mount_options=request.mount_options,
        memlock_bytes=request.memlock_bytes,
        page_bytes=request.page_bytes,
    )


def _worker(worker: int, file: FilePlan, first_page: int, pages: int, combination: _Way, fault: type[Fault]) -> WorkerPlan:
    ops = with_gates(_ops(first_page, pages, combination), fault, fault.moments[0])
    return WorkerPlan(worker, file.file, file.name, first_page, pages, combination.pin, combination.access, ops)


def _ops(first_page: int, pages: int, combination: _Way) -> tuple[Op, ...]:
    """Store, sync, store again (after the writeback the page must be asked for again), sync again."""
    store = Op("store", first_page, pages)
    background = (Op("background"),) if combination.background else ()
    if combination.sync == "nothing":
        return (store, *background)
    sync = Op("sync", name=combination.sync)
    return (store, *background, sync, store, sync)


def is_canary(plan: Plan) -> bool:
    """Whether the plan plants a loss."""
    return any(fault_class(spec.name).canary for spec in plan.faults)

"""The pairwise draw: plans from the whole space, so that every pair of values is met early. Pure.

A plan has one filesystem and one fault, and a few files with workers that each differ in layout, pin, access path,
sync, disturbance and background writeback. Filesystems and faults go round in turn; every worker is the best of some random
candidates: the one with most pairs of values that no plan had yet, interesting values counting more. What a filesystem
does not offer is not drawn for it, unless nothing else was asked for: then the trial says why it cannot be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random

from torture.draw.combination import NO_DISTURBANCE, NO_SYNC, Combination, Coverage, Pair
from torture.draw.request import Request
from torture.faults import fault_class, parts
from torture.faults.base import AFTER_MS, AFTER_WRITES
from torture.faults.gates import with_gates
from torture.filesystems import Filesystem, filesystem
from torture.plan import FaultSpec, FilePlan, Plan
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.plan import Op, WorkerPlan

FILES = 3
_CANDIDATES = 24
_FREE_BLOCKS = (0, 1, 2, 4, 16)
_INTERESTING = {("pin", "none"): 1, ("background", "yes"): 3, ("fault", "enospc"): 3, ("disturbance", "none"): 1}
_ORDINARY = 2
_UNSYNCED_END = 0.25
_AMID = 0.25
_LATEST_MS, _MOST_WRITES = 400, 60
"""Above what most plans take, so that faults strike in all parts of them."""


def draw_plans(request: Request) -> Iterator[Plan]:
    """`request.count` plans, the same for the same request everywhere."""
    random = Random(f"{request.seed}/wide")
    coverage = Coverage()
    rounds = _rounds(request, random)
    for _ in range(request.count):
        name, fault = next(rounds)
        yield draw_plan(request, name, fault, random, coverage)


def draw_plan(request: Request, name: str, fault: FaultSpec, random: Random, coverage: Coverage) -> Plan:
    """One plan of a filesystem and a fault, with what `coverage` has not; its combinations are added there."""
    files = [list(_workers(request, name, fault, random, coverage)) for _ in range(FILES)]
    return _plan(request, name, fault, random, files)


def _rounds(request: Request, random: Random) -> Iterator[tuple[str, FaultSpec]]:
    """Each filesystem with each fault, in another order every time, near-full ones in front."""
    while True:
        whole = list(product(request.filesystems, request.faults))
        random.shuffle(whole)
        yield from sorted(whole, key=lambda pair: pair[1].name != "enospc")


def _workers(request: Request, name: str, fault: FaultSpec, random: Random, coverage: Coverage) -> Iterator[Combination]:
    """The combinations on one file: of all its workers, or of one that must be alone."""
    first = _best([_candidate(request, name, fault, random) for _ in range(_CANDIDATES)], coverage)
    yield first
    for _ in range(0 if first.is_alone else request.workers - 1):
        candidates = [_candidate(request, name, fault, random, first.layout) for _ in range(_CANDIDATES)]
        sociable = [combination for combination in candidates if not combination.is_alone]
        if sociable:
            yield _best(sociable, coverage)


def _best(candidates: Sequence[Combination], coverage: Coverage) -> Combination:
    """The one with most pairs that nobody met yet; where there is no such pair, the one in the rarest cell."""

    def worth(combination: Combination) -> tuple[int, int]:
        return sum(_worth(pair) for pair in combination.pairs() if pair not in coverage.pairs), -coverage.cells[
            combination.cell
        ]

    best = max(candidates, key=worth)
    coverage.add([best])
    return best


def _worth(pair: Pair) -> int:
    one, a, other, b = pair
    return _INTERESTING.get((one, a), _ORDINARY) * _INTERESTING.get((other, b), _ORDINARY)


def _candidate(request: Request, name: str, fault: FaultSpec, random: Random, layout: str = "") -> Combination:
    row = filesystem(name)
    pin = random.choice(request.pins)
    return Combination(
        filesystem=name,
        fault=fault.name,
        layout=layout or random.choice(_offered_layouts(row, request.layouts)),
        pin=pin,
        access=random.choice(request.accesses),
        sync=random.choice(request.syncs),
        background=random.choice(request.backgrounds),
        disturbance=random.choice(_offered_disturbances(row, pin, request.disturbances, fault)),
    )


def _offered_layouts(row: Filesystem, asked: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in asked if row.has(LAYOUTS[name].needs)) or asked


def _offered_disturbances(row: Filesystem, pin: str, asked: tuple[str, ...], fault: FaultSpec) -> tuple[str, ...]:
    refused = any(fault_class(part.name).refuses_metadata for part in parts(fault))

    def fits(name: str) -> bool:
        if name == NO_DISTURBANCE:
            return True
        disturbance = DISTURBANCES[name]
        if refused and disturbance.awaits_metadata and not row.has("gives-up"):
            return False
        return row.has(disturbance.needs) and disturbance.suits(pin)

    return tuple(filter(fits, asked)) or asked


def _plan(request: Request, name: str, fault: FaultSpec, random: Random, files: list[list[Combination]]) -> Plan:
    placed = [
        (file, place * request.pages, combination)
        for file, row in enumerate(files, 1)
        for place, combination in enumerate(row)
    ]
    names = [f"{file}-{row[0].layout}" for file, row in enumerate(files, 1)]
    faults = tuple(_filled_in(part, random) for part in parts(fault))
    if is_amid := fault_class(faults[-1].name).at_any_time() and random.random() < _AMID:
        faults = (*faults[:-1], _at_a_time(faults[-1], random))
    return Plan(
        seed=random.getrandbits(63),
        filesystem=name,
        files=tuple(
            FilePlan(file, names[file - 1], row[0].layout, request.pages * len(row)) for file, row in enumerate(files, 1)
        ),
        workers=tuple(
            WorkerPlan(
                worker,
                file,
                names[file - 1],
                first_page,
                request.pages,
                combination.pin,
                combination.access,
                _gated(faults[-1], random, _ops(first_page, request.pages, combination, random), is_amid),
            )
            for worker, (file, first_page, combination) in enumerate(placed, 1)
        ),
        faults=faults,
        mkfs_options=request.mkfs_options,
        mount_options=request.mount_options,
        memlock_bytes=request.memlock_bytes,
        page_bytes=request.page_bytes,
    )


def _gated(fault: FaultSpec, random: Random, ops: Iterator[Op], is_amid: bool) -> tuple[Op, ...]:
    """Every worker has its own moment at which the fault may strike; the last one that waits for it sets the time."""
    struck = fault_class(fault.name)
    drawn = tuple(ops)
    return drawn if is_amid else with_gates(drawn, struck, random.choice(struck.moments))


def _at_a_time(fault: FaultSpec, random: Random) -> FaultSpec:
    """After a time, or after some writes, sooner rather than later."""
    name, most = random.choice(((AFTER_MS, _LATEST_MS), (AFTER_WRITES, _MOST_WRITES)))
    return FaultSpec(fault.name, {name: max(1, round(most ** random.random())), **fault.parameters})


def _filled_in(fault: FaultSpec, random: Random) -> FaultSpec:
    """A full filesystem is more or less full."""
    if fault.name != "enospc" or fault.parameters:
        return fault
    return FaultSpec(fault.name, {"free_blocks": random.choice(_FREE_BLOCKS)})


def _ops(first_page: int, pages: int, combination: Combination, random: Random) -> Iterator[Op]:
    """Store, sync, store again, sync again, with the disturbance in one of the gaps; the last sync may be left out, so
    that stores which nobody synced are judged too."""
    store = Op("store", first_page, pages)
    sync = [] if combination.sync == NO_SYNC else [Op("sync", name=combination.sync)]
    disturbance = [] if combination.disturbance == NO_DISTURBANCE else [Op(combination.disturbance, first_page, pages)]
    background = [Op("background")] if combination.background == "yes" else []
    gap = random.randrange(3)
    yield from (Op(opening, first_page, pages) for opening in LAYOUTS[combination.layout].opening)
    yield store
    yield from disturbance if gap == 0 else []
    yield from background
    yield from sync
    yield from disturbance if gap == 1 else []
    yield store
    yield from disturbance if gap == 2 else []
    yield from sync if random.random() > _UNSYNCED_END else []

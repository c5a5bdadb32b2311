"""The pairwise draw: plans from the whole space, so that every pair of values is met early. Pure.

A plan has one filesystem and one fault, which are taken in turn, and a few files, whose workers differ in all other
dimensions. Each worker is the best of some random candidates: the one with most pairs of values that no plan had yet,
where interesting values count more. What a filesystem does not offer is not drawn for it, unless nothing else was asked
for; then the trial says why it cannot be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random

from torture.dimensions import BACKGROUND, DIMENSIONS, NO_DISTURBANCE, NO_SYNC, Scope, Values
from torture.draw.assemble import assemble
from torture.draw.combination import Combination, Coverage, Pair
from torture.draw.request import Request
from torture.faults import fault_class, parts
from torture.faults.base import AFTER_MS, AFTER_WRITES
from torture.faults.gates import with_gates
from torture.plan import FaultSpec, Plan
from workloads.layouts import LAYOUTS
from workloads.plan import Op

FILES = 3
_CANDIDATES = 24
_FREE_BLOCKS = (0, 1, 2, 4, 16)
_ORDINARY = 2
"""How much a value counts where its dimension says nothing else."""
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
    fixed: Values = {"filesystem": name, "fault": fault.name}
    rows: list[list[Combination]] = []
    for _ in range(FILES):
        rows.append(list(_workers(request, fixed, random, coverage)))
        fixed = _fixed(rows[0][0], Scope.plan)
    return _plan(request, fault, random, rows)


def _rounds(request: Request, random: Random) -> Iterator[tuple[str, FaultSpec]]:
    """Each filesystem with each fault, in another order every time, near-full ones in front."""
    while True:
        whole = list(product(request["filesystem"], request.faults))
        random.shuffle(whole)
        yield from sorted(whole, key=lambda pair: pair[1].name != "enospc")


def _workers(request: Request, fixed: Values, random: Random, coverage: Coverage) -> Iterator[Combination]:
    """The combinations on one file: of all its workers, or of one that must be alone."""
    first = _best([_candidate(request, fixed, random) for _ in range(_CANDIDATES)], coverage)
    yield first
    fixed = _fixed(first, Scope.plan, Scope.file)
    for _ in range(0 if first.is_alone else request.workers - 1):
        candidates = [_candidate(request, fixed, random) for _ in range(_CANDIDATES)]
        sociable = [combination for combination in candidates if not combination.is_alone]
        if sociable:
            yield _best(sociable, coverage)


def _fixed(combination: Combination, *scopes: Scope) -> Values:
    """What others in the same plan, or on the same file, must have in common with a combination."""
    return {name: combination[name] for name, row in DIMENSIONS.items() if row.scope in scopes}


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
    return DIMENSIONS[one].interest.get(a, _ORDINARY) * DIMENSIONS[other].interest.get(b, _ORDINARY)


def _candidate(request: Request, fixed: Values, random: Random) -> Combination:
    values: dict[str, str] = {}
    for name, row in DIMENSIONS.items():
        values[name] = fixed.get(name) or random.choice(row.available(request[name], values))
    return Combination(values)


def _plan(request: Request, fault: FaultSpec, random: Random, rows: list[list[Combination]]) -> Plan:
    faults = tuple(_filled_in(part, random) for part in parts(fault))
    if is_amid := fault_class(faults[-1].name).at_any_time() and random.random() < _AMID:
        faults = (*faults[:-1], _at_a_time(faults[-1], random))

    def ops(first_page: int, combination: Combination) -> tuple[Op, ...]:
        return _gated(faults[-1], random, _ops(first_page, request.pages, combination, random), is_amid)

    return assemble(request, faults, random.getrandbits(63), rows, ops)


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
    sync, disturbing = combination["sync"], combination["disturbance"]
    syncs = [] if sync == NO_SYNC else [Op("sync", name=sync)]
    disturbance = [] if disturbing == NO_DISTURBANCE else [Op(disturbing, first_page, pages)]
    background = [Op(BACKGROUND)] if combination["background"] == "yes" else []
    gap = random.randrange(3)
    yield from (Op(opening, first_page, pages) for opening in LAYOUTS[combination["layout"]].opening)
    yield store
    yield from disturbance if gap == 0 else []
    yield from background
    yield from syncs
    yield from disturbance if gap == 1 else []
    yield store
    yield from disturbance if gap == 2 else []
    yield from syncs if random.random() > _UNSYNCED_END else []

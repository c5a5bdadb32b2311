"""Draws plans from a request: pure, and the same for the same seed everywhere.

One trial of a filesystem and fault has a file for each layout and, on each file, workers that differ in pin, access
path and sync; so a few trials touch every value. Each plan with a pin is followed by its control arm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from random import Random

from torture.dimensions import BACKGROUND, DIMENSIONS, NO_DISTURBANCE, NO_SYNC
from torture.draw.arm import Arm, arm_of
from torture.draw.assemble import assemble
from torture.draw.combination import Combination
from torture.draw.pairwise import draw_plans
from torture.draw.request import Request
from torture.faults import fault_class, parts
from torture.faults.canaries.lying_disk import LyingDisk
from torture.faults.canaries.stale_disk import StaleDisk
from torture.faults.canaries.zeroed_file import ZeroedFile
from torture.faults.gates import with_gates
from torture.filesystems import filesystem
from torture.plan import FaultSpec, Plan
from workloads.plan import Op

MULTIPLIED = ("sync", "access", "pin")
"""Dimensions whose values are multiplied out if one of them is named; the last one changes most often."""
VARIED = frozenset({"filesystem", "fault", "layout", *MULTIPLIED})
"""Dimensions that the matrix varies as a request wants it. Of all others but `background` it has one value."""


CANARIES = (LyingDisk, StaleDisk, ZeroedFile)
"""The losses that are planted: of those for a filesystem's kind of disk the first that the kernel can plant. The first
needs dm-flakey, the second nothing, the last is of filesystems in memory."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plan and why it is there."""

    plan: Plan
    arm: Arm


def draw(request: Request) -> list[Drawn]:
    """All trials of a request in the order to run them: canaries first, and no plan twice."""
    drawn: dict[str, Drawn] = {}
    for item in _ordered(request):
        drawn.setdefault(item.plan.identity, item)
    return list(drawn.values())


def canaries(request: Request) -> Iterator[Drawn]:
    """A canary for each filesystem of a request, if it has any; `next_canary` has others for kernels that lack it."""
    if not request.canary:
        return
    given = [Plan.from_json(text).filesystem for text in request.plans]
    for name in dict.fromkeys(given or request["filesystem"]):
        yield Drawn(_canary(request, name), Arm.canary)


def next_canary(plan: Plan) -> Drawn | None:
    """The canary to try where the kernel cannot plant the loss of `plan`; None if there is none."""
    plants = _plants(plan.filesystem)
    further = dict(pairwise(plants)).get(plan.fault_names)
    return Drawn(replace(plan, faults=(FaultSpec(further, {}),)), Arm.canary) if further else None


def _plants(name: str) -> list[str]:
    return [each.name for each in CANARIES if each.for_volatile == filesystem(name).volatile]


def _ordered(request: Request) -> Iterator[Drawn]:
    yield from canaries(request)
    plans = draw_plans(request) if request.pairwise else map(Plan.from_json, request.plans)
    for plan in plans:
        yield from _arms(request, plan)
    for turn in range(0 if request.pairwise or request.plans else request.count):
        for fault, name in product(request.faults, request["filesystem"]):
            for plan in _plans(request, name, fault, turn):
                yield from _arms(request, plan)


def _arms(request: Request, plan: Plan) -> Iterator[Drawn]:
    yield Drawn(plan, arm_of(plan))
    if request.control and not plan.is_control:
        yield Drawn(plan.control(), Arm.control)


def _canary(request: Request, name: str) -> Plan:
    spec = FaultSpec(_plants(name)[0], {})
    combination = _plainest(request, name, spec).having(layout="hole", pin="mlock", access="store", sync="msync")
    return _plan(request, spec, request.seed, [[combination]])


def _plans(request: Request, name: str, fault: FaultSpec, turn: int) -> Iterator[Plan]:
    random = Random(f"{request.seed}/{name}/{fault.name}/{turn}")
    seed = random.getrandbits(63)
    layouts = DIMENSIONS["layout"].available(request["layout"], {"filesystem": name})
    plainest = _plainest(request, name, fault)
    if request.representative:
        place = request.faults.index(fault) * len(layouts) if turn == 0 else random.randrange(1 << 16)
        yield _plan(request, fault, seed, _sample(request, plainest, layouts, place))
        return
    whole = _product(request, plainest)
    if turn:
        random.shuffle(whole)
    for first in range(0, len(whole), request.workers):
        chunk = whole[first : first + request.workers]
        rows = [[combination.having(layout=layout) for combination in chunk] for layout in layouts]
        yield _plan(request, fault, seed + first, rows)


def _plainest(request: Request, name: str, fault: FaultSpec) -> Combination:
    """The plainest value that the request has of each dimension. The matrix has no disturbances."""
    plain = {
        row.name: next((value for value in row.by_plainness if value in request[row.name]), row.plainest)
        for row in DIMENSIONS.values()
    }
    return Combination(plain).having(filesystem=name, fault=fault.name, background="no", disturbance=NO_DISTURBANCE)


def _product(request: Request, plainest: Combination) -> list[Combination]:
    """Every combination for a worker that the request names."""
    return [
        plainest.having(background=background, **dict(zip(MULTIPLIED, values, strict=True)))
        for background, *values in product(("no", "yes"), *(request[name] for name in MULTIPLIED))
    ]


def _sample(request: Request, plainest: Combination, layouts: Sequence[str], place: int) -> list[list[Combination]]:
    """Combinations for the workers of each file: the first is always the plainest, the others walk through the values so
    that neighbours differ in pin, access path and whether background writeback comes first."""
    first = plainest.having(**{name: request[name][0] for name in MULTIPLIED})
    places = iter(range(place, place + len(layouts) * request.workers))
    rows = [[first, *(_walk(request, first, next(places)) for _ in range(request.workers - 1))] for _ in layouts]
    if first["fault"] == "none":
        rows[-1][-1] = rows[-1][-1].having(sync=NO_SYNC)
    return [[one.having(layout=layout) for one in row] for layout, row in zip(layouts, rows, strict=True)]


def _walk(request: Request, first: Combination, place: int) -> Combination:
    pair, half = divmod(place, 2)
    pins, accesses, syncs = request["pin"], request["access"], request["sync"]
    return first.having(
        pin=pins[(place + 1) % len(pins)],
        access=accesses[(half + 1) % len(accesses)],
        sync=syncs[(pair + 1) % len(syncs)],
        background="yes" if (pair + half) % 2 == 0 else "no",
    )


def _plan(request: Request, fault: FaultSpec, seed: int, rows: list[list[Combination]]) -> Plan:
    struck = fault_class(parts(fault)[-1].name)

    def ops(first_page: int, combination: Combination) -> tuple[Op, ...]:
        return with_gates(_ops(first_page, request.pages, combination), struck, struck.moments[0])

    return assemble(request, parts(fault), seed, rows, ops)


def _ops(first_page: int, pages: int, combination: Combination) -> tuple[Op, ...]:
    """Store, sync, store again (after the writeback the page must be asked for again), sync again."""
    store = Op("store", first_page, pages)
    background = (Op(BACKGROUND),) if combination["background"] == "yes" else ()
    if combination["sync"] == NO_SYNC:
        return (store, *background)
    sync = Op("sync", name=combination["sync"])
    return (store, *background, sync, store, sync)

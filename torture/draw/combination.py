"""Combinations: how one worker goes about it, and where, as one value of each dimension. Pure.

Plans are drawn from combinations (torture.draw.pairwise); read back from plans, they say what a campaign has tried, which
plans are still worth drawing, and whether a finding is a known one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import combinations

from torture.plan import Plan
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.plan import WorkerPlan

NO_DISTURBANCE = "none"
NO_SYNC = "nothing"
BACKGROUND = "background"

Pair = tuple[str, str, str, str]
"""Two values, each after the name of its dimension."""


@dataclass(frozen=True, slots=True)
class Combination:
    """One value of each dimension. `background`: whether writeback comes before the first sync, "yes" or "no"."""

    filesystem: str
    fault: str
    layout: str
    pin: str
    access: str
    sync: str
    background: str
    disturbance: str

    @property
    def is_alone(self) -> bool:
        """Whether the file must have no other worker."""
        disturbance = DISTURBANCES.get(self.disturbance)
        return bool(LAYOUTS[self.layout].opening) or bool(disturbance and disturbance.alone)

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """Its place in the matrix of outcomes."""
        return self.filesystem, self.fault, self.layout, self.pin

    def values(self) -> list[tuple[str, str]]:
        """Its values, each after the name of its dimension."""
        return [(field.name, str(getattr(self, field.name))) for field in fields(self)]

    def pairs(self) -> Iterator[Pair]:
        """Every two of its values."""
        for (one, a), (other, b) in combinations(self.values(), 2):
            yield one, a, other, b


def combination_of(plan: Plan, worker: WorkerPlan) -> Combination:
    """The combination of a worker of `plan`, whoever made the plan."""
    layout = next(file.layout for file in plan.files if file.file == worker.file)
    ops = worker.ops[len(LAYOUTS[layout].opening) :]
    disturbing = [op.kind for op in ops if op.kind in DISTURBANCES and op.kind != BACKGROUND]
    return Combination(
        filesystem=plan.filesystem,
        fault=plan.fault_names,
        layout=layout,
        pin=worker.pin,
        access=worker.access,
        sync=next((op.name for op in ops if op.kind == "sync"), NO_SYNC),
        background="yes" if any(op.kind == BACKGROUND for op in ops) else "no",
        disturbance=disturbing[0] if disturbing else NO_DISTURBANCE,
    )


def combinations_of(plan: Plan) -> list[Combination]:
    """The combinations of all workers of `plan`."""
    return [combination_of(plan, worker) for worker in plan.workers]


class Coverage:
    """What was met so far: pairs of values, and how often each cell of the matrix."""

    def __init__(self) -> None:
        self.pairs: set[Pair] = set()
        self.cells: Counter[tuple[str, str, str, str]] = Counter()

    def add(self, combinations: Iterable[Combination]) -> None:
        """Somebody goes about it in these combinations."""
        for combination in combinations:
            self.pairs.update(combination.pairs())
            self.cells[combination.cell] += 1

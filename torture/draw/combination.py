"""Combinations: what one worker of a plan does, and where, as one value of each dimension. Pure.

Plans are drawn from combinations (torture.draw.pairwise). Combinations that are read back from plans say what a campaign
has tried, and so which plans are still worth drawing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from torture.dimensions import DIMENSIONS, Values
from torture.plan import Plan
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.plan import WorkerPlan

CELL = ("filesystem", "fault", "layout", "pin")
"""The dimensions of the matrix of outcomes."""

Pair = tuple[str, str, str, str]
"""Two values, each after the name of its dimension, in the order of DIMENSIONS."""


@dataclass(frozen=True, slots=True)
class Combination:
    """One value of each dimension."""

    values: Values
    """By the names of the dimensions, in the order of DIMENSIONS."""

    def __getitem__(self, dimension: str) -> str:
        return self.values[dimension]

    @property
    def is_alone(self) -> bool:
        """Whether the file must have no other worker."""
        disturbance = DISTURBANCES.get(self["disturbance"])
        return bool(LAYOUTS[self["layout"]].opening) or bool(disturbance and disturbance.alone)

    @property
    def cell(self) -> tuple[str, ...]:
        """Its place in the matrix of outcomes."""
        return tuple(self[dimension] for dimension in CELL)

    def having(self, **values: str) -> Combination:
        """The combination with these values of some dimensions."""
        return Combination({**self.values, **values})

    def pairs(self) -> Iterator[Pair]:
        """Every two of its values."""
        for one, other in combinations(self.values.items(), 2):
            yield *one, *other

    def put_into(self, plan: Plan, place: int) -> Plan:
        """The plan with what its worker at `place` has otherwise than here."""
        for row in DIMENSIONS.values():
            worker, new = plan.workers[place], self[row.name]
            if row.put and (old := row.value(plan, worker)) != new:
                plan = row.put(plan, worker, old, new)
        return plan


def combination_of(plan: Plan, worker: WorkerPlan) -> Combination:
    """The combination of a worker of `plan`, whoever made the plan."""
    return Combination({name: row.value(plan, worker) for name, row in DIMENSIONS.items()})


def combinations_of(plan: Plan) -> list[Combination]:
    """The combinations of all workers of `plan`."""
    return [combination_of(plan, worker) for worker in plan.workers]


class Coverage:
    """What was met so far: pairs of values, and how often each cell of the matrix."""

    def __init__(self) -> None:
        self.pairs: set[Pair] = set()
        self.cells: Counter[tuple[str, ...]] = Counter()

    def add(self, combinations: Iterable[Combination]) -> None:
        """These combinations were tried."""
        for combination in combinations:
            self.pairs.update(combination.pairs())
            self.cells[combination.cell] += 1

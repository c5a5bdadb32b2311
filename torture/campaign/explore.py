"""Explore: the plans of a campaign that look where nothing was tried yet, on every kernel. Pure.

First comes the representative matrix of `torture.draw`, of the usual values that the request has, each plan with its
control arm. Then come plans from the whole space without end (torture.draw.pairwise). Each has one filesystem and one
fault, and combinations with pairs of values that no plan had yet, or, if no such pair is left, those of the rarest cells.
These plans have no control arm: it is run when one of them finds something (torture.campaign.schedule).

Each pair of a filesystem and a fault is drawn once, near-full filesystems and crashes first; after that the pair is next
that was drawn least often. A fault whose trials take k times as long as those of others counts sqrt(k) for each draw: it is
drawn less often, and still gets more time. A pair of which no trial could be run and judged counts `HOPELESS` for each.

Nothing decides but what was scheduled (`account`) and what finished (`finished`), so a resumed campaign goes on with the
same plans.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import sqrt
from random import Random

from torture.dimensions import DIMENSIONS
from torture.draw.arm import arm_of
from torture.draw.combination import Coverage, combinations_of
from torture.draw.matrix import Drawn, draw
from torture.draw.pairwise import draw_plan
from torture.draw.request import Request
from torture.faults import fault_class, parts
from torture.filesystems import filesystem
from torture.plan import FaultSpec, Plan
from torture.results.store import Task, Trial
from verify.outcome import Outcome

HOPELESS = 8
MOST_WEIGHT = 8.0

Place = tuple[str, FaultSpec]


class Explore:
    """The plans in order. Each of `kernels`, which are labels, gets a plan before the next one is drawn."""

    def __init__(self, request: Request, kernels: Sequence[str]) -> None:
        self._request, self._kernels = request, tuple(kernels)
        self._order = _places(request)
        self._taken: Counter[int] = Counter()
        self._seconds: dict[str, float] = {}
        self._finished: Counter[str] = Counter()
        self._judged: Counter[tuple[str, str]] = Counter()
        self._in_vain: Counter[tuple[str, str]] = Counter()
        self._coverage = Coverage()
        self._plans = 0
        self._left: deque[tuple[Drawn, str]] = deque()
        for item in draw(usual(request)):
            self._coverage.add(combinations_of(item.plan))
            self._left.extend((item, kernel) for kernel in self._kernels)

    def next(self) -> tuple[Drawn, str]:
        """The next plan, and the kernel that it is for."""
        if not self._left:
            self._draw()
        return self._left.popleft()

    def account(self, task: Task) -> None:
        """A task was scheduled by an earlier `next` of a campaign that is now resumed."""
        while self._left:
            drawn, kernel = self._left.popleft()
            if (drawn.plan, kernel) == (task.plan, task.kernel):
                return
        self._plans += 1
        self._taken[self._place_of(task.plan)] += 1
        self._coverage.add(combinations_of(task.plan))
        self._left.extend((Drawn(task.plan, task.arm), kernel) for kernel in self._kernels[1:])

    def finished(self, trial: Trial) -> None:
        """How long it took, and whether it could be run and judged."""
        fault, outcome = trial.plan.fault_names, trial.verdict.outcome
        in_vain = not outcome.is_judged
        (self._in_vain if in_vain else self._judged)[trial.plan.filesystem, fault] += 1
        if outcome is not Outcome.notrun:
            self._seconds[fault] = self._seconds.get(fault, 0.0) + trial.seconds
            self._finished[fault] += 1

    def _draw(self) -> None:
        place = self._next_place()
        name, fault = self._order[place]
        self._plans += 1
        self._taken[place] += 1
        random = Random(f"{self._request.seed}/breadth/{self._plans}")
        plan = draw_plan(self._request, name, fault, random, self._coverage)
        self._left.extend((Drawn(plan, arm_of(plan)), kernel) for kernel in self._kernels)

    def _place_of(self, plan: Plan) -> int:
        """The number of the place that `plan` was drawn for; 0 if it was drawn for none of this request."""
        given = [(spec.name, spec.parameters.items()) for spec in plan.faults]
        fits = (
            name == plan.filesystem
            and [part.name for part in parts(fault)] == [spec for spec, _ in given]
            and all(part.parameters.items() <= have for part, (_, have) in zip(parts(fault), given, strict=True))
            for name, fault in self._order
        )
        return next((number for number, fit in enumerate(fits) if fit), 0)

    def _next_place(self) -> int:
        """The number of the place that was drawn least often, by weight; the first of several."""
        return min(range(len(self._order)), key=lambda number: self._taken[number] * self._weight(*self._order[number]))

    def _weight(self, name: str, fault: FaultSpec) -> float:
        if self._in_vain[name, fault.name] > 1 and not self._judged[name, fault.name]:
            return HOPELESS
        if not self._finished[fault.name]:
            return 1.0
        ordinary = sum(self._seconds.values()) / self._finished.total()
        own = self._seconds[fault.name] / self._finished[fault.name]
        return min(MOST_WEIGHT, max(1.0, sqrt(own / ordinary))) if ordinary else 1.0


def usual(request: Request) -> Request:
    """The matrix that comes first: in each dimension the usual values that the request has, or else all it has; its
    filesystems, without named configurations if there are others; and only its usual faults, so that without one of these
    there is no matrix."""
    fault = DIMENSIONS["fault"]
    values = {name: _common(row.usual, request[name]) for name, row in DIMENSIONS.items()}
    values["filesystem"] = tuple(filter(_is_plain, request["filesystem"])) or request["filesystem"]
    values["fault"] = tuple(text for text in request["fault"] if fault.label(text) in fault.usual)
    return replace(request, values=values, count=1, canary=False, pairwise=False)


def _is_plain(name: str) -> bool:
    return filesystem(name).name == filesystem(name).type


def _common(usual: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value for value in usual if value in asked) or asked


def _places(request: Request) -> list[Place]:
    """Filesystems with faults, shuffled; near-full ones in front, then the faults that stores do not survive unsynced."""
    whole = list(product(request["filesystem"], request.faults))
    Random(f"{request.seed}/breadth").shuffle(whole)
    return sorted(whole, key=lambda place: (place[1].name != "enospc", not _is_deadly(place[1])))


def _is_deadly(fault: FaultSpec) -> bool:
    classes = [fault_class(part.name) for part in parts(fault)]
    return any(each.may_lose_unsynced or each.judges_crash_states for each in classes)

"""Depth: what a campaign does about its findings. Each is tried without the pin, then again and again with new seeds.

The control arm of a plan comes first, since it says whether the pin is to blame; then the plan and its control arm in
turn, with new seeds, so that both rates become known. The finding that got least time is next. Findings that somebody
knows (torture.results.known) are left alone.

All that decides is what was scheduled and what finished, in whatever order that came, so a resumed campaign goes on
with the same plans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from random import Random

from torture.draw.arm import Arm
from torture.draw.matrix import Drawn
from torture.plan import Plan
from torture.results.groups import Key, deduplicated, key_of, signature
from torture.results.known import Known, unexplained
from torture.results.store import Task, Trial

ENOUGH_REPEATS = 24
"""A finding that was repeated so often, with and without the pin, is known well enough."""
ENOUGH_S = 600.0
"""So is one whose repeats took so long, as those of a hang do: breadth is not to starve for it."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The first trial, by number, that showed a finding."""

    number: int
    plan: Plan
    kernel: str
    seconds: float

    @property
    def shape(self) -> tuple[str, str]:
        """What its repeats have in common."""
        return shape_of(self.plan), self.kernel


class Confirm:
    """The findings so far, and what is to be tried about them. `seed` is the campaign's."""

    def __init__(self, seed: int, known: Sequence[Known], today: date) -> None:
        self._seed, self._known, self._today = seed, known, today
        self._sources: dict[tuple[Key, str], _Source] = {}
        self._repeats: Counter[tuple[str, str]] = Counter()
        self._controls: set[tuple[str, str]] = set()

    @property
    def findings(self) -> int:
        """How many distinct ones there are, that nobody knows yet."""
        return len({(signature(key), kernel) for key, kernel in self._sources})

    def was_scheduled(self, plan: Plan, kernel: str) -> bool:
        """Whether `plan` is a control arm that the kernel got already."""
        return (plan.identity, kernel) in self._controls

    def scheduled(self, task: Task) -> None:
        """A task was handed out."""
        if task.arm == Arm.repeat:
            self._repeats[shape_of(task.plan), task.kernel] += 1
        if task.plan.is_control:
            self._controls.add((task.plan.identity, task.kernel))

    def finished(self, trial: Trial) -> None:
        """A trial was judged."""
        if trial.is_canary:
            return
        for finding in deduplicated(unexplained(trial, self._known, self._today)):
            place = key_of(trial, finding), trial.kernel
            known = self._sources.get(place)
            if known is None or trial.number < known.number:
                self._sources[place] = _Source(trial.number, trial.plan, trial.kernel, trial.seconds)

    def control(self) -> tuple[Drawn, str] | None:
        """The control arm of a finding that has none yet."""
        for source in self._in_order():
            plan = source.plan.control()
            if not self.was_scheduled(plan, source.kernel):
                return Drawn(plan, Arm.repeat), source.kernel
        return None

    def next(self) -> tuple[Drawn, str] | None:
        """What to try next, None when there is nothing to look into."""
        if missing := self.control():
            return missing
        open_sources = [source for source in self._in_order() if not self._has_enough(source)]
        if not open_sources:
            return None
        source = min(open_sources, key=lambda one: (self._repeats[one.shape] + 1) * one.seconds)
        repeats = self._repeats[source.shape]
        seed = Random(f"{self._seed}/depth/{source.shape}/{repeats}").getrandbits(63)
        plan = replace(source.plan, seed=seed)
        return Drawn(plan.control() if repeats % 2 else plan, Arm.repeat), source.kernel

    def _has_enough(self, source: _Source) -> bool:
        repeats = self._repeats[source.shape]
        return repeats >= ENOUGH_REPEATS or repeats * source.seconds >= ENOUGH_S

    def _in_order(self) -> list[_Source]:
        return sorted(self._sources.values(), key=lambda source: (source.number, source.kernel))


def shape_of(plan: Plan) -> str:
    """A name for the plan whatever its seed and pins are."""
    return replace(plan.control(), seed=0).identity

"""Confirms the findings of a campaign: each is tried without the pin, then again and again with new seeds.

The control arm of a plan comes first, since it says whether the pin is to blame; then the plan and its control arm in
turn, with new seeds, so that both rates become known. The finding that got least time is next. Known findings
(torture.results.known) are left alone.

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
from torture.results.blame import ENOUGH, shape_of
from torture.results.excuses import unexplained
from torture.results.groups import Key, deduplicated, key_in, signature
from torture.results.known import Known
from torture.results.store import Task, Trial

ENOUGH_REPEATS = 24
"""A finding that was repeated so often, with and without the pin, is known well enough."""
ENOUGH_S = 600.0
"""So is one whose repeats took so long, as those of a hang do: exploring must not starve for it."""
FEWEST_REPEATS = 2 * ENOUGH - 1
"""With the trial that found it, enough of both arms to say whether the pin is to blame."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    """The first trial, by number, that showed a finding."""

    number: int
    plan: Plan
    kernel: str
    seconds: float
    """That the trial took."""

    @property
    def shape(self) -> tuple[str, str]:
        """What its repeats have in common."""
        return shape_of(self.plan), self.kernel


class Confirm:
    """The findings so far, and what is to be tried about them. `seed` is the campaign's."""

    def __init__(self, seed: int, known: Sequence[Known], today: date) -> None:
        self._seed, self._known, self._today = seed, known, today
        self._sightings: dict[tuple[Key, str], _Sighting] = {}
        self._repeats: Counter[tuple[str, str]] = Counter()
        self._controls: set[tuple[str, str]] = set()

    @property
    def findings(self) -> int:
        """How many distinct ones there are, that nobody knows yet."""
        return len({(signature(key), kernel) for key, kernel in self._sightings})

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
            key = key_in(trial.plan, finding), trial.kernel
            known = self._sightings.get(key)
            if known is None or trial.number < known.number:
                self._sightings[key] = _Sighting(trial.number, trial.plan, trial.kernel, trial.seconds)

    def _control(self) -> tuple[Drawn, str] | None:
        """The control arm of a finding that has none yet."""
        for sighting in self._in_order():
            plan = sighting.plan.control()
            if not self.was_scheduled(plan, sighting.kernel):
                return Drawn(plan, Arm.repeat), sighting.kernel
        return None

    def next(self, enough: int = ENOUGH_REPEATS) -> tuple[Drawn, str] | None:
        """What to try next, None when each finding was repeated `enough`."""
        if missing := self._control():
            return missing
        open_ones = [sighting for sighting in self._in_order() if not self._has(enough, sighting)]
        if not open_ones:
            return None
        sighting = min(open_ones, key=lambda one: (self._repeats[one.shape] + 1) * one.seconds)
        repeats = self._repeats[sighting.shape]
        seed = Random(f"{self._seed}/depth/{sighting.shape}/{repeats}").getrandbits(63)
        plan = replace(sighting.plan, seed=seed)
        return Drawn(plan.control() if repeats % 2 else plan, Arm.repeat), sighting.kernel

    def _has(self, enough: int, sighting: _Sighting) -> bool:
        repeats = self._repeats[sighting.shape]
        return repeats >= enough or repeats * sighting.seconds >= ENOUGH_S

    def _in_order(self) -> list[_Sighting]:
        return sorted(self._sightings.values(), key=lambda sighting: (sighting.number, sighting.kernel))

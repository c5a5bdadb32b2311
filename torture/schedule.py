"""What a campaign runs next: canaries, then breadth, then depth where it pays.

Deterministic from the request's seed given the same results in the same order; only the hourly canaries follow the
clock. What was scheduled is in the store, so a resumed campaign goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from torture.draw import Drawn, draw
from torture.known import Known, excuse
from torture.report.groups import Group, Key, gather
from torture.request import Request
from torture.store import Task, Trial

CANARY_INTERVAL_S = 3600.0
DEPTH_EVERY = 4
ENOUGH_REPEATS = 20
"""A finding that was repeated so often is known well enough; its turn goes to the others."""


@dataclass(slots=True)
class FixedList:
    """A run of so many trials that were drawn beforehand."""

    drawn: Sequence[Drawn]
    lab: str
    done: Iterable[int] = ()
    _left: Iterator[Task] = field(init=False)

    def __post_init__(self) -> None:
        done = set(self.done)
        tasks = (Task(number, item.arm, item.plan, self.lab) for number, item in enumerate(self.drawn, 1))
        self._left = (task for task in tasks if task.number not in done)

    def next(self) -> Task | None:
        """The next in the list."""
        return next(self._left, None)

    def finished(self, trial: Trial) -> None:
        """Changes nothing."""


class Schedule:
    """An endless campaign over `labs`, bounded by `most_trials` and `most_findings` (distinct ones), if given.

    Breadth is one turn of `torture.draw` after the other, for every lab; each `DEPTH_EVERY`th trial goes to the finding
    that was repeated least, with a new seed, pinned and control arm in turn.
    """

    def __init__(
        self,
        request: Request,
        canaries: dict[str, str],
        *,
        most_trials: int | None = None,
        most_findings: int | None = None,
        known: Sequence[Known] = (),
        unfinished: Sequence[Task] = (),
        finished: Sequence[Trial] = (),
        scheduled: int = 0,
    ) -> None:
        self._request, self._canaries = request, canaries
        self._most_trials, self._most_findings = most_trials, most_findings
        self._known = known
        self._trials = list(finished)
        self._again = list(unfinished)
        self._number = scheduled
        self._breadth = self._walk_breadth()
        self._repeats: dict[Key, int] = {}
        self._canary_due_s = time.monotonic()
        self._pending: list[tuple[Drawn, str]] = []
        for _ in range(self._breadth_taken()):
            next(self._breadth)

    def next(self) -> Task | None:
        """The next task; first those that were in flight when the campaign was killed."""
        if self._again:
            return self._again.pop(0)
        if self._is_over():
            return None
        self._number += 1
        drawn, lab = self._choose()
        return Task(self._number, drawn.arm, drawn.plan, lab)

    def finished(self, trial: Trial) -> None:
        """Remember a result: findings are looked into."""
        self._trials.append(trial)

    def _is_over(self) -> bool:
        if self._most_trials is not None and self._number >= self._most_trials:
            return True
        return self._most_findings is not None and len(self._news()) >= self._most_findings

    def _news(self) -> dict[Key, Group]:
        """Distinct findings that nobody knows yet."""
        today = date.today()
        groups = {group.key: group for group in gather(self._trials)}
        return {key: group for key, group in groups.items() if not excuse(key, self._known, today)}

    def _choose(self) -> tuple[Drawn, str]:
        if not self._pending and time.monotonic() >= self._canary_due_s:
            self._canary_due_s = time.monotonic() + CANARY_INTERVAL_S
            self._pending = [
                (item, lab) for lab, fault in self._canaries.items() for item in self._drawn_canaries(fault)
            ]
        if self._pending:
            return self._pending.pop(0)
        if self._number % DEPTH_EVERY == 0:
            deep = self._around_a_finding()
            if deep:
                return deep
        return next(self._breadth)

    def _drawn_canaries(self, fault: str) -> list[Drawn]:
        return [item for item in draw(replace(self._request, count=1), fault) if item.arm == "canary"]

    def _walk_breadth(self) -> Iterator[tuple[Drawn, str]]:
        """Every lab gets each plan before the next plan is drawn."""
        turn = 0
        while True:
            request = replace(self._request, count=1, canary=False, seed=self._request.seed + turn)
            for item in draw(request, ""):
                for lab in self._canaries:
                    yield item, lab
            turn += 1

    def _breadth_taken(self) -> int:
        """How far a resumed campaign had walked: everything scheduled that was no canary and no repeat."""
        arms = [*(trial.arm for trial in self._trials), *(task.arm for task in self._again)]
        return sum(arm not in ("canary", "repeat") for arm in arms)

    def _around_a_finding(self) -> tuple[Drawn, str] | None:
        groups = self._news()
        open_keys = [key for key in groups if self._repeats.get(key, 0) < ENOUGH_REPEATS]
        if not open_keys:
            return None
        key = min(open_keys, key=lambda one: self._repeats.get(one, 0))
        self._repeats[key] = self._repeats.get(key, 0) + 1
        source = next(trial for trial in self._trials if trial.number == groups[key].trial)
        plan = replace(source.plan, seed=self._request.seed * 1_000_003 + self._number)
        return Drawn(plan, "repeat"), source.lab


"""What a campaign runs next: canaries, then plans that explore, and in between those that confirm findings.

Deterministic from the request's seed given the same results in the same order; only the hourly canaries follow the
clock. What was scheduled and what came of it is in the store, so a resumed campaign goes on from there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from torture.campaign.confirm import FEWEST_REPEATS, Confirm
from torture.campaign.explore import Explore
from torture.draw.arm import Arm
from torture.draw.matrix import Drawn, canaries, next_canary
from torture.draw.request import Request
from torture.results.known import Known
from torture.results.store import Task, Trial
from verify.outcome import Outcome

CANARY_INTERVAL_S = 3600.0
CONFIRM_EVERY = 4


@dataclass(slots=True)
class FixedList:
    """A run of trials that were drawn beforehand, numbered from 1; a canary that takes the place of another has the number
    of that and as many more as were drawn."""

    drawn: Sequence[Drawn]
    kernel: str
    done: Sequence[Trial] = ()
    """Those that are finished."""
    _left: deque[Task] = field(init=False)

    def __post_init__(self) -> None:
        self._left = deque(self._task(number, item) for number, item in enumerate(self.drawn, 1))
        for trial in self.done:
            self.finished(trial)
        done = {trial.number for trial in self.done}
        self._left = deque(task for task in self._left if task.number not in done)

    def next(self) -> Task | None:
        """The next in the list."""
        return self._left.popleft() if self._left else None

    def finished(self, trial: Trial) -> None:
        """Where its loss could not be planted, another one is."""
        if further := _instead_of(trial):
            self._left.appendleft(self._task(trial.number + len(self.drawn), further))

    def _task(self, number: int, item: Drawn) -> Task:
        return Task(number, item.arm, item.plan, self.kernel)


def _instead_of(trial: Trial) -> Drawn | None:
    """The canary to try because that of `trial` could not be planted."""
    is_wanting = trial.is_canary and trial.verdict.outcome is Outcome.notrun
    return next_canary(trial.plan) if is_wanting else None


class Schedule:
    """An endless campaign, bounded by `most_trials` and `most_findings` (distinct new ones), if given.

    `kernels` are labels. Each `CONFIRM_EVERY`th trial goes to the findings
    (torture.campaign.confirm), all others to what nobody tried yet (torture.campaign.explore). `unfinished` and
    `finished` are what the store has of a campaign that is resumed.
    """

    def __init__(
        self,
        request: Request,
        kernels: Sequence[str],
        *,
        most_trials: int | None = None,
        most_findings: int | None = None,
        known: Sequence[Known] = (),
        unfinished: Sequence[Task] = (),
        finished: Sequence[Trial] = (),
    ) -> None:
        self._request, self._kernels = request, tuple(kernels)
        self._most_trials, self._most_findings = most_trials, most_findings
        self._explore = Explore(request, kernels)
        self._confirm = Confirm(request.seed, known, date.today())
        self._again = list(unfinished)
        self._number = self._turns = 0
        self._canary_due_s = time.monotonic()
        self._pending: list[tuple[Drawn, str]] = []
        self._is_blind = False
        self._recall(unfinished, finished)

    def next(self) -> Task | None:
        """The next task; first those that were in flight when the campaign was killed. None once a canary was missed:
        what a blind tool calls clean is worth nothing."""
        if self._is_blind:
            return None
        if self._again:
            return self._again.pop(0)
        chosen = self._choose()
        if chosen is None:
            return None
        self._number += 1
        drawn, kernel = chosen
        task = Task(self._number, drawn.arm, drawn.plan, kernel)
        self._confirm.scheduled(task)
        return task

    def finished(self, trial: Trial) -> None:
        """Remember a result: findings are looked into."""
        self._is_blind = self._is_blind or trial.verdict.missed_canary
        if further := _instead_of(trial):
            self._pending.insert(0, (further, trial.kernel))
        self._confirm.finished(trial)
        self._explore.finished(trial)

    def _recall(self, unfinished: Sequence[Task], finished: Sequence[Trial]) -> None:
        """Everything that happened before the campaign was resumed, in order of number."""
        tasks = [Task(trial.number, trial.arm, trial.plan, trial.kernel) for trial in finished]
        for task in sorted((*unfinished, *tasks), key=lambda task: task.number):
            self._number = task.number
            self._turns += not task.is_canary
            self._confirm.scheduled(task)
            if task.arm not in (Arm.canary, Arm.repeat):
                self._explore.account(task)
        for trial in finished:
            self.finished(trial)
        self._pending.clear()  # all canaries are due again

    def _choose(self) -> tuple[Drawn, str] | None:
        if self._most_trials is not None and self._number >= self._most_trials:
            return None
        if self._most_findings is not None and self._confirm.findings >= self._most_findings:
            return self._confirm.next(FEWEST_REPEATS)
        if not self._pending and time.monotonic() >= self._canary_due_s:
            self._canary_due_s = time.monotonic() + CANARY_INTERVAL_S
            self._pending = [(item, kernel) for kernel in self._kernels for item in canaries(self._request)]
        if self._pending:
            return self._pending.pop(0)
        self._turns += 1
        confirming = self._confirm.next() if self._turns % CONFIRM_EVERY == 0 else None
        return confirming or self._exploring()

    def _exploring(self) -> tuple[Drawn, str]:
        """The next plan that explores, without control arms that findings had run already."""
        while True:
            drawn, kernel = self._explore.next()
            if not self._confirm.was_scheduled(drawn.plan, kernel):
                return drawn, kernel

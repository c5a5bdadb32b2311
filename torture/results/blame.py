"""Whether the pin is to blame for a finding: both arms of the same plans, compared by Fisher's exact test. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torture.draw.arm import Arm, arm_of
from torture.plan import Plan
from torture.results.fisher import exact
from torture.results.store import Trial
from verify.outcome import Outcome

ALPHA = 0.01
"""The pin is blamed wrongly in at most so many of the findings that it has nothing to do with."""
ENOUGH = 5
"""Trials of each arm that can blame it: all of one arm and none of the other is p = 0.008."""


@dataclass(frozen=True, slots=True)
class Blame:
    """What both arms of the plans that showed a finding came to."""

    failed: Counter[str]
    """By arm: pinned trials that showed the finding, and control trials that failed in any way."""
    tried: Counter[str]
    """By arm: trials of these plans, whatever their seed, that were judged."""
    without: bool
    """Whether the finding was seen without a pin: in the control arm, or on a mapping that nobody pinned."""
    on_pages: bool
    """Whether it is about somebody's pages."""

    @property
    def p(self) -> float:
        """The chance of counts at least as far apart when the pin does nothing."""
        pinned, control = Arm.pinned, Arm.control
        return exact(self.failed[pinned], self.tried[pinned], self.failed[control], self.tried[control])

    @property
    def words(self) -> str:
        """How many of each arm were seen, and what that says of the pin."""
        if not self.tried[Arm.control]:
            return "no control arm was run"
        if not self.tried[Arm.pinned]:
            return f"without a pin {self._counts(Arm.control)} failed: the pin is not to blame"
        return f"with the pin {self._counts(Arm.pinned)} failed, without it {self._counts(Arm.control)}: {self._verdict}"

    @property
    def _verdict(self) -> str:
        if self.p <= ALPHA and self._rate(Arm.pinned) > self._rate(Arm.control):
            if self.without or self.failed[Arm.control]:
                return f"the pin makes it more frequent (p = {self.p:.2g})"
            return f"only {'pinned mappings lose it' if self.on_pages else 'plans with a pin show it'} (p = {self.p:.2g})"
        return "it is seen without a pin too, which is not to blame" if self.without else "too few to blame the pin"

    def _counts(self, arm: Arm) -> str:
        return f"{self.failed[arm]} of {self.tried[arm]}"

    def _rate(self, arm: Arm) -> float:
        return self.failed[arm] / self.tried[arm]


def blame(trials: Iterable[Trial], shown: set[int], losing_pins: set[str], *, on_pages: bool) -> Blame:
    """Of a finding that the trials with the numbers `shown` have, on mappings with `losing_pins`. Only trials of the same
    plans count, but for pins and seeds, on the same kernel."""
    told = [(trial, (trial.kernel, shape_of(trial.plan))) for trial in trials if trial.verdict.outcome.is_judged]
    shapes = {shape for trial, shape in told if trial.number in shown}
    failed, tried = Counter[str](), Counter[str]()
    for trial, shape in told:
        if shape in shapes:
            arm = arm_of(trial.plan)
            tried[arm] += 1
            failed[arm] += trial.number in shown or (arm is Arm.control and trial.verdict.outcome is not Outcome.passed)
    in_control = any(trial.number in shown and trial.plan.is_control for trial, _ in told)
    return Blame(failed, tried, in_control or "none" in losing_pins, on_pages)


def shape_of(plan: Plan) -> str:
    """A name for the plan whatever its seed and pins are."""
    return replace(plan.control(), seed=0).identity

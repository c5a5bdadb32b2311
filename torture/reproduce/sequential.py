"""Whether a plan fails as surely as another did, in as few trials as possible. Pure.

Wald's sequential probability ratio test (Annals of Mathematical Statistics 16, 1945) of "fails with rate `sure`"
against "fails with rate `rare`", a third of that. Wrongly keeping a plan that fails with `rare` or less, and wrongly
dropping one that fails with `sure` or more, each happen in at most about `ERROR` of the tests. A rate in between may go
either way; after `MOST_TRIALS` the rate seen decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

ERROR = 0.05
RATIO = 3
MOST_TRIALS = 120
_SUREST = 0.9
"""No rate is taken for higher: a single pass must never prove that a sure failure is gone."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of the trials of one plan showed the failure."""

    seen: int = 0
    tried: int = 0


@dataclass(frozen=True, slots=True)
class RateTest:
    """The test of one rate, 0 < sure < 1."""

    sure: float

    @property
    def rare(self) -> float:
        """The rate that is too low to keep a plan for."""
        return self.sure / RATIO

    def decide(self, tally: Tally) -> bool | None:
        """True: fails as surely. False: does not. None: more trials are needed."""
        shown = tally.seen * log(self.sure / self.rare)
        clean = (tally.tried - tally.seen) * log((1 - self.sure) / (1 - self.rare))
        bound = log((1 - ERROR) / ERROR)
        ratio = shown + clean
        if ratio >= bound:
            return True
        if ratio <= -bound:
            return False
        return tally.seen >= self.sure * tally.tried if tally.tried >= MOST_TRIALS else None

    def trials_to_decide(self, tally: Tally) -> int:
        """The fewest further trials after which a decision is possible: all fail, or none does."""
        more = 0
        while all(self.decide(Tally(tally.seen + shown, tally.tried + more)) is None for shown in {0, more}):
            more += 1
        return more


def rate_test(tally: Tally) -> RateTest:
    """The test for plans that shall fail as surely as one with this tally, which failed at least twice.

    The tally ended with a failure, so the last trial is left out: counting until the n-th failure overstates the rate.
    """
    return RateTest(min(_SUREST, (tally.seen - 1) / (tally.tried - 1)))

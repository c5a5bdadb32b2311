"""What counts of trials say: intervals for rates, bounds for clean cells. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log1p, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A rate between 0 and 1, from `low` to `high`."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.0%} to {self.high:.0%}"


def wilson(seen: int, tried: int, confidence: float = CONFIDENCE) -> Interval:
    """The Wilson score interval for `seen` of `tried` (E. B. Wilson, JASA 22, 1927). Nothing tried says nothing."""
    if not 0 <= seen <= tried:
        raise ValueError(f"{seen} of {tried} is no count")
    if tried == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    rate, square = seen / tried, z * z / tried
    middle = (rate + square / 2) / (1 + square)
    half = z * sqrt(rate * (1 - rate) / tried + square / tried / 4) / (1 + square)
    low = 0.0 if seen == 0 else max(0.0, middle - half)
    high = 1.0 if seen == tried else min(1.0, middle + half)
    return Interval(low, high)


def clean_bound(trials: int, confidence: float = CONFIDENCE) -> int:
    """N such that `trials` clean trials show, at `confidence`, that fewer than 1 in N fail; 0 if they show nothing.

    With failure rate p, all are clean with probability (1 - p)^trials; the largest p that this does not rule out is
    1 - (1 - confidence)^(1 / trials).
    """
    if trials == 0:
        return 0
    highest = 1 - (1 - confidence) ** (1 / trials)
    return int(1 / highest)


def trials_to_see(rate: float, confidence: float = CONFIDENCE) -> int:
    """How many trials show a failure of this rate at least once with probability `confidence`."""
    if not 0 < rate <= 1:
        raise ValueError(f"{rate} is no rate of a failure that was seen")
    return 1 if rate == 1 else ceil(log1p(-confidence) / log1p(-rate))

"""Fisher's exact test of two rates, two-sided, in whole numbers. Pure.

R. A. Fisher, Journal of the Royal Statistical Society 85 (1922). Two-sided as R's `fisher.test` counts it: all tables
with the same margins that are no more likely than the one seen.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb


def exact(a_seen: int, a_tried: int, b_seen: int, b_tried: int) -> float:
    """The chance of counts at least as far apart as these when both arms have the same rate."""
    if not (0 <= a_seen <= a_tried and 0 <= b_seen <= b_tried):
        raise ValueError(f"{a_seen} of {a_tried} and {b_seen} of {b_tried} are no counts")
    seen = a_seen + b_seen
    ways = [
        comb(a_tried, here) * comb(b_tried, seen - here) for here in range(max(0, seen - b_tried), min(a_tried, seen) + 1)
    ]
    observed = comb(a_tried, a_seen) * comb(b_tried, b_seen)
    return float(Fraction(sum(way for way in ways if way <= observed), sum(ways)))


def smallest_visible(a_seen: int, a_tried: int, b_tried: int, alpha: float) -> float | None:
    """The smallest difference to A's rate that B could have shown with p <= alpha; None if no count of B would do."""
    if not a_tried or not b_tried:
        return None
    rate = a_seen / a_tried
    visible = [
        abs(b_seen / b_tried - rate) for b_seen in range(b_tried + 1) if exact(a_seen, a_tried, b_seen, b_tried) <= alpha
    ]
    return min(visible, default=None)

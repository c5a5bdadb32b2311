"""Intervals and bounds agree with worked values and with the definitions they encode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torture.results.statistics import clean_bound, trials_to_see, wilson


@pytest.mark.parametrize(
    ("seen", "tried", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (1, 100, 0.0018, 0.0545)],
)
def test_wilson_gives_the_textbook_values(seen: int, tried: int, low: float, high: float) -> None:
    interval = wilson(seen, tried)
    assert interval.low == pytest.approx(low, abs=5e-4)
    assert interval.high == pytest.approx(high, abs=5e-4)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_holds_the_rate_and_stays_between_0_and_1(seen: int, more: int) -> None:
    interval = wilson(seen, seen + more)
    assert 0 <= interval.low <= seen / (seen + more) <= interval.high <= 1


def test_nothing_tried_says_nothing() -> None:
    assert str(wilson(0, 0)) == "0% to 100%"
    assert clean_bound(0) == 0


@given(st.integers(1, 10_000))
def test_the_clean_bound_is_what_so_many_clean_trials_do_not_rule_out(trials: int) -> None:
    bound = clean_bound(trials)
    assert (1 - 1 / bound) ** trials <= 0.05 + 1e-9 or bound == 1
    assert (1 - 1 / (bound + 1)) ** trials > 0.05 - 1e-9


@given(st.floats(0.001, 1))
def test_enough_trials_show_a_failure(rate: float) -> None:
    count = trials_to_see(rate)
    assert 1 - (1 - rate) ** count >= 0.95 - 1e-9

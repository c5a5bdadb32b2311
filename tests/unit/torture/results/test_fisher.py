"""Fisher's exact test against its definition, and against published numbers."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torture.results.fisher import exact, smallest_visible


def by_counting(a_seen: int, a_tried: int, b_seen: int, b_tried: int) -> float:
    """Deal the failures to the trials in every way; count those that are no more likely than what was seen."""
    trials = range(a_tried + b_tried)
    dealt = [sum(trial < a_tried for trial in failed) for failed in combinations(trials, a_seen + b_seen)]
    frequency = {here: dealt.count(here) for here in set(dealt)}
    return sum(count for count in frequency.values() if count <= frequency[a_seen]) / len(dealt)


@given(st.integers(0, 6), st.integers(0, 6), st.data())
def test_it_is_the_share_of_deals_that_are_no_more_likely(a_tried: int, b_tried: int, data: st.DataObject) -> None:
    a_seen, b_seen = data.draw(st.integers(0, a_tried)), data.draw(st.integers(0, b_tried))
    assert exact(a_seen, a_tried, b_seen, b_tried) == pytest.approx(by_counting(a_seen, a_tried, b_seen, b_tried))


def test_the_lady_tasting_tea() -> None:
    assert exact(3, 4, 1, 4) == pytest.approx(0.4857, abs=1e-4)
    assert exact(8, 8, 0, 8) == pytest.approx(2 / 12870)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.integers(1, 30))
def test_the_arms_may_change_places(a_seen: int, b_seen: int, a_more: int, b_more: int) -> None:
    a_tried, b_tried = a_seen + a_more, b_seen + b_more
    assert exact(a_seen, a_tried, b_seen, b_tried) == exact(b_seen, b_tried, a_seen, a_tried)


def test_counts_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no counts"):
        exact(3, 2, 0, 2)


def test_the_smallest_visible_difference_is_visible_and_none_smaller_is() -> None:
    smallest = smallest_visible(4, 20, 20, 0.01)
    assert smallest is not None
    b_seen = round((0.2 + smallest) * 20)
    assert exact(4, 20, b_seen, 20) <= 0.01 < exact(4, 20, b_seen - 1, 20)
    assert smallest_visible(1, 2, 2, 0.01) is None

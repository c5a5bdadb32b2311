"""Comparisons: right about a fix, a regression, and above all about nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.unit.torture.fake_lab import FakeLab, Rule, follow, follow_fast
from tests.unit.torture.stories import plan
from torture.lab.choose import KernelChoice
from torture.reproduce.compare import Comparison, Side, document, looks, render
from torture.reproduce.verdict import Effect, overall
from torture.results.groups import Key

EXPECTED = Key("ext4", "none", "", "kernel", "liveness", "", "")


def sides(same: bool = False) -> tuple[Side, Side]:
    first = Side("A", KernelChoice("a", ()), "a")
    return first, replace(first, name="B") if same else Side("B", KernelChoice("b", ()), "b")


def compare(
    a: Rule,
    b: Rule,
    *,
    seed: int = 0,
    pairs: int = 64,
    expected: bool = True,
    same: bool = False,
    fails: bool = False,
) -> Comparison:
    plans = (replace(plan(), seed=turn) for turn in count())
    source = Comparison(sides(same), plans, pairs, seed, (EXPECTED,) if expected else (), fails=fails)
    follow_fast(source, {"a": FakeLab(a, seed), "b": FakeLab(b, seed + 1000)})
    source.conclude()
    return source


def always(rate: float) -> Rule:
    return lambda plan: rate


def verdict(source: Comparison) -> Effect:
    return overall(source.judged).verdict


def test_a_sure_failure_that_is_gone_is_fixed_at_the_first_look() -> None:
    source = compare(always(1), always(0))
    assert verdict(source) is Effect.fixed and source.stopped_at == 16 and source.was_clear
    assert "Fixed: A shows it in 8 of 8, B in 0 of 8 (p = 0.00016)." in render(source)


def test_a_sure_failure_that_stays_is_not_fixed_at_the_first_look() -> None:
    source = compare(always(1), always(1))
    assert verdict(source) is Effect.not_fixed and source.stopped_at == 16


@pytest.mark.parametrize("seed", range(5))
def test_a_flaky_failure_is_fixed_or_not(seed: int) -> None:
    assert verdict(compare(always(0.2), always(0), seed=seed, pairs=128)) is Effect.fixed
    assert verdict(compare(always(0.2), always(0.2), seed=seed)) is Effect.not_fixed


def test_a_failure_that_only_b_has_is_worse() -> None:
    assert verdict(compare(always(0), always(1), expected=False)) is Effect.worse


@pytest.mark.parametrize("seed", range(20))
def test_twenty_of_twenty_null_comparisons_see_no_difference(seed: int) -> None:
    rate = (0.0, 0.2, 0.5, 1.0)[seed % 4]
    source = compare(always(rate), always(rate), seed=seed, expected=rate > 0, same=True)
    assert verdict(source) is Effect.no_difference
    assert "would have been seen" in render(source)


def test_what_never_fails_on_a_proves_nothing_about_b() -> None:
    source = compare(always(0), always(0), pairs=16)
    assert verdict(source) is Effect.not_reproducible and source.stopped_at == 32
    assert "so B (0 of 16) proves nothing" in render(source)
    assert document(source, {})["verdict"] == "not reproducible on A"


def test_a_plan_that_never_fails_on_a_proves_nothing_either() -> None:
    """A plan names no signature, but whoever gives one says that it fails."""
    for b in (0, 0.05):
        source = compare(always(0), always(b), pairs=16, expected=False, fails=True)
        assert verdict(source) is Effect.not_reproducible
        assert "Not reproducible on A (0 of 16), so B" in render(source)
    assert verdict(compare(always(0), always(0), expected=False, fails=True, same=True)) is Effect.no_difference


def test_a_plan_that_fails_on_a_is_fixed_or_not_without_a_signature() -> None:
    assert verdict(compare(always(1), always(0), expected=False, fails=True)) is Effect.fixed
    assert verdict(compare(always(1), always(1), expected=False, fails=True)) is Effect.not_fixed


def test_pairs_are_in_random_order_and_share_their_seeds() -> None:
    source = compare(always(0), always(0), pairs=40)
    pairs = [source.trials[first : first + 2] for first in range(0, 80, 2)]
    assert all({trial.arm for trial in pair} == {"A", "B"} for pair in pairs)
    assert all(pair[0].plan == pair[1].plan for pair in pairs)
    assert 5 < sum(pair[0].arm == "A" for pair in pairs) < 35


def test_two_filesystem_configurations_are_arms_too(tmp_path: Path) -> None:
    a, b = sides()
    source = Comparison((a, replace(b, filesystem="ext3", mount_options=("sync",))), iter([plan()] * 99), 16, 1)
    labs = {"a": FakeLab(always(0)), "b": FakeLab(lambda plan: plan.filesystem == "ext3")}
    follow(source, labs, tmp_path).close()
    assert verdict(source) is Effect.worse
    assert {trial.plan.mount_options for trial in source.trials if trial.arm == "B"} == {("sync",)}


def test_looks_double_and_end_with_the_last_pair() -> None:
    assert looks(64) == [8, 16, 32, 64]
    assert looks(40) == [8, 16, 32, 40]
    assert looks(5) == [5]

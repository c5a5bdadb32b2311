"""How much of what a request asks for a campaign has tried: values, pairs of values, cells of the matrix. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from torture.dimensions import DIMENSIONS, Values
from torture.draw.combination import CELL, Coverage, Pair, combinations_of
from torture.results.store import Trial


def render(trials: Sequence[Trial], facts: dict[str, Any]) -> Iterator[str]:
    """One line."""
    coverage = covered(trials)
    values = {(name, value) for pair in coverage.pairs for name, value in (pair[:2], pair[2:])}
    known = possible(facts["config"]["request"])
    new = known - coverage.pairs
    yield (
        f"Coverage by judged trials: {len(values)} values, {len(known) - len(new)} of {len(known)} pairs of values,"
        f" {len(coverage.cells)} cells ({', '.join(CELL)})."
    )


def covered(trials: Iterable[Trial]) -> Coverage:
    """What trials that were judged have met."""
    coverage = Coverage()
    for trial in trials:
        if not trial.is_canary and trial.verdict.outcome.is_judged:
            coverage.add(combinations_of(trial.plan))
    return coverage


def possible(request: dict[str, Any]) -> set[Pair]:
    """Every pair of values that a request allows, as far as its filesystems have what the values need. Whether a fault
    can strike a filesystem is known only where it is tried."""
    asked = request["values"]
    values = {name: dict.fromkeys(map(row.label, asked[name])) for name, row in DIMENSIONS.items()}
    return {
        (one, a, other, b)
        for (one, ones), (other, others) in combinations(values.items(), 2)
        for a in ones
        for b in others
        if _can_be({one: a, other: b}, values["filesystem"])
    }


def _can_be(pair: Values, filesystems: Iterable[str]) -> bool:
    named = [pair["filesystem"]] if "filesystem" in pair else filesystems
    return any(
        all(DIMENSIONS[name].offered(value, {**pair, "filesystem": filesystem}) for name, value in pair.items())
        for filesystem in named
    )

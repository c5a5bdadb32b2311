"""What a campaign has tried, of what its request has: values, pairs of values, cells of the matrix. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from torture.draw.combination import NO_DISTURBANCE, Coverage, Pair, combinations_of
from torture.filesystems import filesystem
from torture.results.store import Trial
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS


def render(trials: Sequence[Trial], facts: dict[str, Any]) -> Iterator[str]:
    """One line."""
    coverage = covered(trials)
    values = {(name, value) for pair in coverage.pairs for name, value in (pair[:2], pair[2:])}
    known = possible(facts["config"]["request"])
    new = known - coverage.pairs
    yield (
        f"Coverage by judged trials: {len(values)} values, {len(known) - len(new)} of {len(known)} pairs of values,"
        f" {len(coverage.cells)} cells (filesystem, fault, layout, pin)."
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
    dimensions = {
        "filesystem": request["filesystems"],
        "fault": [fault["name"] for fault in request["faults"]],
        "layout": request["layouts"],
        "pin": request["pins"],
        "access": request["accesses"],
        "sync": request["syncs"],
        "background": request.get("backgrounds", ["yes", "no"]),
        "disturbance": request["disturbances"],
    }
    return {
        (one, a, other, b)
        for (one, ones), (other, others) in combinations(dimensions.items(), 2)
        for a in ones
        for b in others
        if _can_be({one: a, other: b}, request["filesystems"])
    }


def _can_be(pair: dict[str, str], filesystems: Iterable[str]) -> bool:
    disturbance = pair.get("disturbance", NO_DISTURBANCE)
    row = DISTURBANCES.get(disturbance)
    needs = [LAYOUTS[pair["layout"]].needs] if "layout" in pair else []
    if row:
        needs.append(row.needs)
        if "pin" in pair and not row.suits(pair["pin"]):
            return False
    named = [pair["filesystem"]] if "filesystem" in pair else filesystems
    return any(all(filesystem(name).has(need) for need in needs) for name in named)

"""What a shrink found, for people and for machines. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from torture.reproduce.factors import Known, name_factors
from torture.reproduce.sequential import ERROR, RATIO
from torture.reproduce.shrink import Shrink, size
from torture.results.statistics import wilson


def render(search: Shrink) -> str:
    """The result in plain lines."""
    return "\n".join(_hopeless(search) if search.is_hopeless else _lines(search))


def _hopeless(search: Shrink) -> Iterator[str]:
    tally = search.tally(search.original)
    yield f"Not shrunk: the plan failed in {tally.seen} of {tally.tried} trials, too rarely to work with."


def _lines(search: Shrink) -> Iterator[str]:
    before, after = search.tally(search.original), search.tally(search.plan)
    target = search.target
    if target is None:
        yield f"{before.seen} of {before.tried} trials failed, too few yet to start; give it more --time."
        return
    yield f"{target.kind} ({target.promise} promise), {target.filesystem}"
    yield f"before: {size(search.original)}; fails in {before.seen} of {before.tried} trials"
    interval = wilson(after.seen, after.tried)
    yield f"after:  {size(search.plan)}; fails in {after.seen} of {after.tried} trials ({interval}, 95 % interval)"
    yield from (f"  - {factor}" for factor in factors(search))
    yield f"{search.trials} trials. {_how_sure()}"
    if search.position.phase != "done":
        yield f"The budget ended in phase {search.position.phase}: it may not be the smallest."
        yield "Give this run to `torture shrink` to go on."


def factors(search: Shrink) -> list[str]:
    """The factors that matter, none before there is anything to tell."""
    return name_factors(search.plan, Known(search.decision, search.was_judged)) if search.position.sure else []


def _how_sure() -> str:
    return f"A step that makes it fail {RATIO} times more rarely is taken in {ERROR:.0%} of the tests at most."


def document(search: Shrink, facts: dict[str, Any]) -> dict[str, Any]:
    """The result for machines."""
    before, after = search.tally(search.original), search.tally(search.plan)
    return {
        **facts,
        "done": search.position.phase == "done" and not search.is_hopeless,
        "trials": search.trials,
        "error_rate": ERROR,
        "before": {**asdict(before), "size": size(search.original)},
        "after": {**asdict(after), "size": size(search.plan)},
        "taken": search.position.taken,
        "factors": factors(search),
        "plan": asdict(search.plan),
    }

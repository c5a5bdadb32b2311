"""What a campaign knows at its end, and how surely: rates, coverage, and what clean cells prove. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import combinations
from typing import Any

from torture.known import Known, excuse
from torture.plan import Plan
from torture.report.cells import of_trial
from torture.report.groups import gather
from torture.statistics import clean_bound, wilson
from torture.store import Trial
from verify.outcome import Outcome

Value = tuple[str, str]


def render(trials: Sequence[Trial], facts: dict[str, Any], known: Sequence[Known], today: date) -> str:
    """The closing page of a campaign, to stand after the summary."""
    return "\n\n".join(
        "\n".join(part)
        for part in (
            list(_rates(trials, known, today)),
            list(_clean(trials)),
            list(_coverage(trials)),
            list(_time(trials, facts)),
        )
        if part
    )


def values(plan: Plan) -> Iterator[set[Value]]:
    """The dimension values of a plan, one set for each worker."""
    layouts = {file.file: file.layout for file in plan.files}
    for worker in plan.workers:
        yield {
            ("fs", plan.filesystem),
            ("fault", plan.fault_names),
            ("layout", layouts[worker.file]),
            ("pin", worker.pin),
            ("access", worker.access),
            *(("op", f"{op.kind} {op.name}".strip()) for op in worker.ops if op.kind != "store"),
        }


def covered(trials: Iterable[Trial]) -> tuple[set[Value], set[tuple[Value, Value]]]:
    """Single values and pairs of values that trials which were judged have met."""
    singles: set[Value] = set()
    pairs: set[tuple[Value, Value]] = set()
    for trial in trials:
        if trial.verdict.outcome not in (Outcome.unknown, Outcome.notrun):
            for met in values(trial.plan):
                singles |= met
                pairs.update(combinations(sorted(met), 2))
    return singles, pairs


def _rates(trials: Sequence[Trial], known: Sequence[Known], today: date) -> Iterator[str]:
    groups = gather(trials)
    if groups:
        yield "How often, of the trials that could show it (95 % interval):"
    for number, group in enumerate(groups, 1):
        shared = ", ".join(f"{name} {value}" for name, value in sorted(group.shared.items()) if value)
        rates = ", ".join(
            f"{arm} {group.seen[arm]} of {tried} ({wilson(group.seen[arm], tried)})"
            for arm, tried in sorted(group.tried.items(), reverse=True)
        )
        yield (
            f"  {number}. {group.key.kind}, {group.key.filesystem}, fault {group.key.fault}: {rates};"
            f" all have {shared or 'nothing in common'}"
        )
        if entry := excuse(group.key, known, today):
            yield f"     known until {entry.expires}: {entry.reason}"


def _clean(trials: Sequence[Trial]) -> Iterator[str]:
    counted: Counter[tuple[str, str]] = Counter()
    dirty: set[tuple[str, str]] = set()
    for trial in trials:
        if trial.arm != "canary":
            place = (trial.plan.filesystem, trial.plan.fault_names)
            if any(outcome in (Outcome.failed, Outcome.late) for _, outcome in of_trial(trial)):
                dirty.add(place)
            elif trial.verdict.outcome == Outcome.passed:
                counted[place] += 1
    clean = {place: count for place, count in counted.items() if place not in dirty}
    if clean:
        yield "Clean, and what that proves at 95 %:"
    for (filesystem, fault), count in clean.items():
        bound = clean_bound(count)
        proves = f"fails less often than 1 in {bound}" if bound > 1 else "too few to say anything"
        yield f"  {filesystem}, fault {fault}: {count} trials: {proves}"


def _coverage(trials: Sequence[Trial]) -> Iterator[str]:
    singles, pairs = covered(trials)
    cells = {cell for trial in trials if trial.arm != "canary" for cell, _ in of_trial(trial)}
    yield f"Coverage: {len(singles)} values, {len(pairs)} pairs of values, {len(cells)} cells of the matrix."


def _time(trials: Sequence[Trial], facts: dict[str, Any]) -> Iterator[str]:
    wall, jobs = float(facts.get("wall_seconds", 0)), int(facts.get("jobs", 1))
    if not wall or not trials:
        return
    phases: dict[str, float] = {}
    for trial in trials:
        between = max(0.0, trial.seconds - sum(trial.phases.values()))
        for name, seconds in {**trial.phases, "between phases": between}.items():
            phases[name] = phases.get(name, 0.0) + seconds
    total = sum(phases.values()) or 1.0
    ordered = sorted(phases.items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in ordered)
    yield f"{len(trials)} trials in {wall / 60:.1f} min with {jobs} jobs: {len(trials) / wall * 60:.1f} per minute."
    yield f"Time: {shares}."
    lost = facts.get("lost_guests", [])
    yield f"Guests: {facts.get('boots', 0)} booted, {len(lost)} lost{''.join(f'; {line}' for line in lost[:5])}."

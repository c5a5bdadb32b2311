"""Says where the time of a campaign went: trials per minute, the share of each phase, cores, guests. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torture.results.store import Trial

BETWEEN = "between phases"
"""Stands for the time that belongs to no phase."""
MOST_LOST = 2


def render(trials: Sequence[Trial], facts: dict[str, Any]) -> Iterator[str]:
    """Lines for the rate, the time of a trial, and the guests; none if no time is known."""
    wall, jobs = float(facts.get("wall_seconds", 0)), int(facts.get("jobs", 1))
    if not wall or not trials:
        return
    busy, cores = float(facts.get("busy_seconds", 0)), int(facts.get("cores", 0))
    load = f"; {cores} cores, busy {busy / (wall * cores):.0%} of the time" if cores else ""
    yield f"Rate: {len(trials)} trials in {wall / 60:.1f} min, {len(trials) / wall * 60:.1f} per minute, {jobs} jobs{load}."
    shares = phase_seconds(trials)
    total = sum(shares.values()) or 1.0
    named = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in shares.items())
    yield f"Time of a trial: {total / len(trials):.1f} s, of which {named}."
    lost = facts.get("lost_guests", [])
    yield f"Guests: {facts.get('boots', 0)} booted, {len(lost)} lost{''.join(f'; {line}' for line in lost[:MOST_LOST])}."


def phase_seconds(trials: Sequence[Trial]) -> dict[str, float]:
    """Seconds of all trials by phase, longest first; what no phase accounts for is `BETWEEN`."""
    phases: dict[str, float] = {}
    for trial in trials:
        between = max(0.0, trial.seconds - sum(trial.phases.values()))
        for name, seconds in {**trial.phases, BETWEEN: between}.items():
            phases[name] = phases.get(name, 0.0) + seconds
    return dict(sorted(phases.items(), key=lambda item: -item[1]))

"""Which clean results may be believed: those of a kernel and filesystem where a planted loss was found. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torture.draw.arm import Arm
from torture.results.store import Trial
from verify.outcome import Outcome

_LOOKING = frozenset({Arm.pinned, Arm.control, Arm.repeat})
"""Arms of runs and campaigns, which plant losses; what reproduces or compares has seen a loss already."""

Place = tuple[str, str]
"""Kernel and filesystem."""


def place_of(trial: Trial) -> Place:
    """Where the trial was run."""
    return trial.kernel, trial.plan.filesystem


def unproven(trials: Iterable[Trial]) -> frozenset[Place]:
    """Where losses were looked for and no planted one was found."""
    trials = list(trials)
    proven = {place_of(trial) for trial in trials if trial.is_canary and trial.verdict.outcome is Outcome.passed}
    return frozenset(place_of(trial) for trial in trials if trial.arm in _LOOKING) - proven


def believed(trials: Iterable[Trial]) -> list[Trial]:
    """The trials as they count: a clean one is `unknown` where no planted loss was found, since the tool may be blind."""
    trials = list(trials)
    blind = unproven(trials)
    return [_unknown(trial) if _is_clean(trial) and place_of(trial) in blind else trial for trial in trials]


def _is_clean(trial: Trial) -> bool:
    return trial.arm in _LOOKING and trial.verdict.outcome is Outcome.passed


def _unknown(trial: Trial) -> Trial:
    reason = f"clean, but no planted loss was found on {trial.plan.filesystem}, so the tool may be blind"
    return replace(trial, verdict=replace(trial.verdict, outcome=Outcome.unknown, reason=reason))

"""Stored trials as `torture run`, `resume`, `show` and `verify` print and answer them. Pure but for the date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from torture.report import campaign, summary
from torture.results.known import known_of, without_known
from torture.results.store import Trial


def shown(trials: Sequence[Trial], facts: dict[str, Any]) -> str:
    """The summary of a run, or of a campaign."""
    if facts["config"]["endless"]:
        return campaign.render(list(trials), facts, known_of(facts), date.today())
    return summary.render(trials).rstrip()


def exit_code(trials: Sequence[Trial], facts: dict[str, Any]) -> int:
    """Of the worst outcome (design.md section 2); findings that are known, and not expired, do not count."""
    return summary.overall(without_known(list(trials), known_of(facts), date.today())).exit_code

"""Stored trials as `torture run`, `resume`, `show` and `verify` print them. Pure but for the date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from torture.known import Known
from torture.report import campaign, summary
from torture.store import Trial


def shown(trials: Sequence[Trial], facts: dict[str, Any]) -> str:
    """The summary, and after it that of the campaign if it was one."""
    said = summary.render(trials).rstrip()
    if not facts["order"]["endless"]:
        return said
    known = [Known(**entry) for entry in facts["order"]["known"]]
    return f"{said}\n\n{campaign.render(list(trials), facts, known, date.today())}"

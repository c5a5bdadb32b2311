"""The forms in which commands print the trials of a run, and the exit code that they answer. Pure but for the date."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from torture.report import campaign, summary
from torture.report.document import document
from torture.results.believed import believed
from torture.results.excuses import known_of, without_known
from torture.results.store import Trial

Format = Callable[[Sequence[Trial], dict[str, Any]], str]
"""What it makes of the trials of a run, and of the facts about it."""


def _text(trials: Sequence[Trial], facts: dict[str, Any]) -> str:
    """The summary of a run, or of a campaign."""
    if facts["config"]["endless"]:
        return campaign.render(list(trials), facts, known_of(facts), date.today())
    return summary.render(trials, known_of(facts), date.today()).rstrip()


def _json(trials: Sequence[Trial], facts: dict[str, Any]) -> str:
    return json.dumps(document(trials, facts))


TEXT = "text"
FORMATS: Mapping[str, Format] = {TEXT: _text, "json": _json}
"""By the name that `--format` takes; all but `TEXT` are for programs."""


def exit_code(trials: Sequence[Trial], facts: dict[str, Any]) -> int:
    """Of the worst outcome (design.md section 2); findings that are known, and not expired, do not count."""
    return summary.overall(believed(without_known(list(trials), known_of(facts), date.today()))).exit_code

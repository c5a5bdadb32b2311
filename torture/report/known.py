"""What became of the known list of a run: what is excused, what would be, and entries that met nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from textwrap import fill

from torture.report.words import count, one_item, shorten
from torture.results.excuses import account
from torture.results.known import Known
from torture.results.store import Trial

WIDTH = 120


def render_known(trials: Sequence[Trial], known: Sequence[Known], today: date) -> Iterator[str]:
    """A line for each entry that excused something or would have, and one for those that could have met something."""
    told = account(trials, known, today)
    if told.excused:
        yield "Known findings, which do not count:"
    for entry, shown in told.excused.items():
        yield one_item(shorten(f"  {entry.name}: {_seen(shown)}; until {entry.expires}: {entry.reason}", WIDTH))
    for (entry, why), shown in told.barred.items():
        yield one_item(f"Not excused: {_seen(shown)}, would be {entry.name}, but {why}.")
    if told.unmet:
        names = ", ".join(f"{entry.name} ({could})" for entry, could in told.unmet.items())
        yield fill(f"Known, but not met in trials that could have shown it: {names}.", WIDTH, subsequent_indent="  ")


def _seen(shown: Sequence[Trial]) -> str:
    return f"{count(len(shown), 'trial')}, first {shown[0].number}"

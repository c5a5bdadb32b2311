"""The trials of a run and the entries of its known list: what is excused, and which entries met nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from torture.errors import BadRequest
from torture.results.known import Known
from torture.results.store import Trial
from verify import codec
from verify.finding import Finding
from verify.outcome import outcome_of


@dataclass(slots=True)
class Account:
    """What became of the entries, each with the trials concerned."""

    excused: dict[Known, list[Trial]] = field(default_factory=dict)
    """What each excused."""
    barred: dict[tuple[Known, str], list[Trial]] = field(default_factory=dict)
    """What would be excused if the entry were good for that kernel and day, with the reason why it is not."""
    unmet: dict[Known, int] = field(default_factory=dict)
    """Entries of which nothing was seen, with the number of judged trials that could have shown it."""


def known_of(facts: Mapping[str, Any]) -> tuple[Known, ...]:
    """The entries of a stored run, from the facts about it."""
    try:
        return codec.from_plain(tuple[Known, ...], facts.get("config", {}).get("known", []))
    except codec.Malformed as error:
        raise BadRequest(f"the known list of the run, {error.wrong}", error.allowed) from None


def excuse(trial: Trial, finding: Finding, known: Iterable[Known], today: date) -> Known | None:
    """The first entry that covers a finding."""
    return next((entry for entry in known if entry.covers(finding, trial.plan, trial.release, today)), None)


def unexplained(trial: Trial, known: Sequence[Known], today: date) -> list[Finding]:
    """The findings of a trial that no entry covers."""
    return [finding for finding in trial.verdict.findings if not excuse(trial, finding, known, today)]


def without_known(trials: Iterable[Trial], known: Sequence[Known], today: date) -> list[Trial]:
    """The trials as if what is known had not been found."""
    return [_without_known(trial, known, today) for trial in trials]


def _without_known(trial: Trial, known: Sequence[Known], today: date) -> Trial:
    news = tuple(unexplained(trial, known, today))
    if len(news) == len(trial.verdict.findings) or trial.is_canary:
        return trial
    return replace(trial, verdict=replace(trial.verdict, outcome=outcome_of(news), findings=news))


def account(trials: Iterable[Trial], known: Sequence[Known], today: date) -> Account:
    """What the entries did to the trials. Canaries judge the tool: entries do nothing to them."""
    told = Account()
    could: dict[Known, int] = {}
    for trial in (trial for trial in trials if not trial.is_canary and trial.verdict.outcome.is_judged):
        for entry in dict.fromkeys(excuse(trial, finding, known, today) for finding in trial.verdict.findings):
            if entry:
                told.excused.setdefault(entry, []).append(trial)
        for finding in unexplained(trial, known, today):
            if entry := next((entry for entry in known if entry.fits(finding, trial.plan)), None):
                seen = told.barred.setdefault((entry, entry.barred(trial.release, today)), [])
                seen += [trial] * (trial not in seen[-1:])
        for entry in known:
            if entry.could_show(trial.plan) and not entry.barred(trial.release, today):
                could[entry] = could.get(entry, 0) + 1
    told.unmet = {entry: count for entry, count in could.items() if entry not in told.excused}
    return told

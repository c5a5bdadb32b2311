"""The closing page of a campaign, for somebody who reads nothing else: what is known at its end, and how surely. Pure.

Findings that the known list excuses have a part of their own, and do not count for the outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from textwrap import fill
from typing import Any

from torture.report.campaign_time import render as render_time
from torture.report.coverage import render as render_coverage
from torture.report.known import WIDTH, render_known
from torture.report.matrix import render as render_matrix
from torture.report.matrix import short_label
from torture.report.summary import KINDS, closing_line, planted
from torture.report.words import count, first_line, one_item, shorten
from torture.results.believed import believed
from torture.results.excuses import without_known
from torture.results.groups import Group, distinct
from torture.results.known import Known
from torture.results.statistics import wilson
from torture.results.store import Trial
from verify.outcome import Outcome

MOST_FINDINGS = 4
"""So many are described in full, and as many more in a line each."""
MOST_REASONS = 3
SHORT = 90
"""Characters of what was found, in a line."""


def render(trials: Sequence[Trial], facts: dict[str, Any], known: Sequence[Known], today: date) -> str:
    """The whole page."""
    unexplained = believed(without_known(trials, known, today))
    trials = believed(trials)
    parts = (
        _opening(trials, facts),
        render_matrix(trials, unexplained),
        _findings(unexplained),
        render_known(trials, known, today),
        _unclear(trials),
        [*render_coverage(trials, facts), *render_time(trials, facts)],
        [closing_line(trials, unexplained)],
    )
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part)


def _opening(trials: Sequence[Trial], facts: dict[str, Any]) -> Iterator[str]:
    canaries = [trial for trial in trials if trial.is_canary]
    counted = Counter(trial.verdict.outcome.value for trial in trials if not trial.is_canary)
    counts = ", ".join(f"{number} {name}" for name, number in counted.most_common())
    kernels = ", ".join(dict.fromkeys(f"{trial.kernel} ({trial.release})" for trial in trials if trial.release))
    yield one_item(f"Campaign {facts.get('run', '')}, seed {facts.get('seed', '')}, kernel {kernels}.")
    yield f"{len(trials) - len(canaries)} trials ({counts}); {planted(canaries)}."
    for trial in canaries:
        if trial.verdict.missed_canary:
            yield f"STOPPED: trial {trial.number} did not find its planted loss, so nothing above or below is proven clean."


def _findings(unexplained: Sequence[Trial]) -> Iterator[str]:
    kernels = list(dict.fromkeys(trial.kernel for trial in unexplained))
    groups = [
        (kernel, group)
        for kernel in kernels
        for group in distinct([trial for trial in unexplained if trial.kernel == kernel])
    ]
    if not groups:
        return
    yield f"{count(len(groups), 'distinct finding')} that nobody has explained yet:"
    for number, (kernel, group) in enumerate(groups[:MOST_FINDINGS], 1):
        yield from _finding(number, group, f"{short_label(kernel)}, " if len(kernels) > 1 else "")
    for number, (_, group) in enumerate(groups[MOST_FINDINGS : 2 * MOST_FINDINGS], MOST_FINDINGS + 1):
        yield one_item(f"{number}. {group.key.kind}: {_place(group)}; see trial {group.trial}")
    if len(groups) > 2 * MOST_FINDINGS:
        yield f"... and {len(groups) - 2 * MOST_FINDINGS} more: `torture show RUN --json` has them all."


def _finding(number: int, group: Group, kernel: str) -> Iterator[str]:
    key = group.key
    shared = ", ".join(f"{name} {value}" for name, value in sorted(group.shared.items()) if value)
    yield one_item(f"{number}. {key.kind}: {kernel}{_place(group)}: {KINDS[key.kind]}")
    found = shorten(first_line(group.example.found), SHORT)
    sentences = (
        f"Seen in {_rates(group)}: {group.control}.",
        f"Expected {group.example.expected}, found {found}; {group.example.told}.",
        f"All have {shared or 'nothing in common'}. See `torture show RUN --trial {group.trial}`.",
    )
    yield fill(" ".join(sentences), WIDTH, initial_indent="   ", subsequent_indent="   ")


def _place(group: Group) -> str:
    return ", ".join(filter(None, (group.key.filesystem, group.key.layout, f"fault {group.key.fault}")))


def _rates(group: Group) -> str:
    """How often each arm showed it, of the trials that could have, with the 95 % interval of the rate."""
    return ", ".join(
        f"{group.seen[arm]} of {tried} {arm} trials ({wilson(group.seen[arm], tried)} at 95 %)"
        for arm, tried in sorted(group.tried.items(), reverse=True)
    )


def _unclear(trials: Iterable[Trial]) -> Iterator[str]:
    """Why trials could not be judged or not be run, the most frequent reasons."""
    for outcome, heading in ((Outcome.unknown, "Could not be judged"), (Outcome.notrun, "Could not be run")):
        reasons: Counter[str] = Counter()
        for trial in trials:
            if trial.verdict.outcome == outcome:
                reason = f"{trial.plan.filesystem}, fault {trial.plan.fault_names}: {first_line(trial.verdict.reason)}"
                reasons[reason[: WIDTH - 12]] += 1
        if reasons:
            rest = len(reasons) - MOST_REASONS
            more = f"; {rest} more reasons in the store" if rest > 0 else ""
            yield f"{heading} ({count(reasons.total(), 'trial')}{more}):"
        for reason, number in reasons.most_common(MOST_REASONS):
            yield f"  {number} x {reason}"

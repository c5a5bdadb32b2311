"""The matrix of a campaign: for each filesystem and fault, how many trials, and what they came to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from torture.statistics import clean_bound
from torture.store import Trial
from verify.outcome import Outcome, worst

Place = tuple[str, str, str]
"""Lab, filesystem, fault."""


def render(trials: Sequence[Trial], news: Sequence[Trial]) -> Iterator[str]:
    """A row for each filesystem (of each kernel, if there are several), a column for each fault. `news`: the trials
    without known findings."""
    cells = _cells(trials, news)
    if not cells:
        return
    faults = list(dict.fromkeys(fault for _, _, fault in cells))
    labs = list(dict.fromkeys(lab for lab, _, _ in cells))
    rows = [("filesystem", *faults)]
    for lab, name in sorted({(lab, name) for lab, name, _ in cells}, key=lambda row: labs.index(row[0])):
        heading = f"{name} [{short_label(lab)}]" if len(labs) > 1 else name
        rows.append((heading, *(cells.get((lab, name, fault), "-") for fault in faults)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield 'Trials by filesystem and fault. "80 <1/27": all 80 were clean, so at 95 % it fails less often than 1 in 27.'
    yield '"known": nothing was found but what is known. "notrun", "unknown": none could be run, or judged.'
    yield from ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def short_label(lab: str) -> str:
    """A kernel without the directories of its path."""
    path, *arguments = lab.split(" ")
    return " ".join((path.rpartition("/")[2], *arguments))


def _cells(trials: Sequence[Trial], news: Sequence[Trial]) -> dict[Place, str]:
    before: dict[Place, Counter[Outcome]] = {}
    after: dict[Place, Counter[Outcome]] = {}
    for counted, of_these in ((before, trials), (after, news)):
        for trial in of_these:
            if trial.arm != "canary":
                place = trial.lab, trial.plan.filesystem, trial.plan.fault_names
                counted.setdefault(place, Counter())[trial.verdict.outcome] += 1
    return {place: _word(before[place], after[place]) for place in before}


def _word(before: Counter[Outcome], after: Counter[Outcome]) -> str:
    judged = {outcome: number for outcome, number in after.items() if outcome not in (Outcome.notrun, Outcome.unknown)}
    if not judged:
        return worst(before).value
    trials, outcome = sum(judged.values()), worst(judged)
    if outcome is not Outcome.passed:
        return f"{trials} {'FAIL' if outcome is Outcome.failed else outcome.value}"
    if before[Outcome.passed] < after[Outcome.passed]:
        return f"{trials} known"
    bound = clean_bound(trials)
    return f"{trials} <1/{bound}" if bound > 1 else f"{trials}"

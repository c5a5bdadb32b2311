"""The matrix of a campaign: for each fault and filesystem, how many trials, and what they came to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from torture.results.statistics import clean_bound
from torture.results.store import Trial
from verify.outcome import Outcome, worst

WIDTH = 124
LONG = 10
"""With so many faults a matrix is shown in two halves, if they fit side by side."""
GAP = "   "

Place = tuple[str, str, str]
"""Kernel, filesystem, fault."""


LEGEND = (
    'Trials by fault and filesystem. "80:27": all 80 were clean, so at 95 % it fails less often than 1 in 27. "known":',
    'nothing was found but what is known. "n/a": it cannot be run. "?": none could be judged, or believed. "-": not tried.',
)


def render(trials: Sequence[Trial], unexplained: Sequence[Trial]) -> Iterator[str]:
    """A matrix for each kernel, with a row for each fault and a column for each filesystem.

    `unexplained`: the same trials without their known findings.
    """
    cells = _cells(trials, unexplained)
    if cells:
        yield from LEGEND
    kernels = list(dict.fromkeys(kernel for kernel, _, _ in cells))
    for kernel in kernels:
        if len(kernels) > 1:
            yield f"Kernel {short_label(kernel)}:"
        yield from _matrix({(fault, name): word for (at, name, fault), word in cells.items() if at == kernel})


def _matrix(cells: dict[tuple[str, str], str]) -> Iterator[str]:
    faults, names = (list(dict.fromkeys(column)) for column in zip(*cells, strict=True))
    names.sort()
    rows = [(fault, *(cells.get((fault, name), "-") for name in names)) for fault in faults]
    heading = ("fault", *names)
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    head = _line(heading, widths)
    half = -(-len(lines) // 2)
    if len(lines) < LONG or 2 * len(head) + len(GAP) > WIDTH:
        yield from (line.rstrip() for line in (head, *lines))
        return
    yield f"{head}{GAP}{head}".rstrip()
    for left, right in zip_longest(lines[:half], lines[half:], fillvalue=""):
        yield f"{left}{GAP}{right}".rstrip()


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def short_label(kernel: str) -> str:
    """A kernel without the directories of its path."""
    path, *arguments = kernel.split(" ")
    return " ".join((path.rpartition("/")[2], *arguments))


def _cells(trials: Sequence[Trial], unexplained: Sequence[Trial]) -> dict[Place, str]:
    before: dict[Place, Counter[Outcome]] = {}
    after: dict[Place, Counter[Outcome]] = {}
    for counted, of_these in ((before, trials), (after, unexplained)):
        for trial in of_these:
            if not trial.is_canary:
                place = trial.kernel, trial.plan.filesystem, trial.plan.fault_names
                counted.setdefault(place, Counter())[trial.verdict.outcome] += 1
    return {place: _word(before[place], after[place]) for place in before}


def _word(before: Counter[Outcome], after: Counter[Outcome]) -> str:
    judged = {outcome: number for outcome, number in after.items() if outcome.is_judged}
    if not judged:
        return "?" if after[Outcome.unknown] else "n/a"
    trials, outcome = sum(judged.values()), worst(judged)
    if outcome is not Outcome.passed:
        return "FAIL" if outcome is Outcome.failed else outcome.value
    if before[Outcome.passed] < after[Outcome.passed]:
        return "known"
    bound = clean_bound(trials)
    return f"{trials}:{bound}" if bound > 1 else f"{trials}"

"""Counts outcomes by cell: filesystem, layout, pin and fault. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torture.results.believed import place_of, unproven
from torture.results.store import Trial
from verify.outcome import Outcome, outcome_of, worst


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One place in the matrix."""

    filesystem: str
    layout: str
    pin: str
    fault: str


def outcomes(trials: Iterable[Trial]) -> dict[Cell, Outcome]:
    """The worst outcome of each cell; canaries are left out, they judge the tool and not the filesystem. Where none found
    its planted loss, no cell is clean."""
    trials = list(trials)
    blind = unproven(trials)
    gathered: dict[Cell, list[Outcome]] = {}
    for trial in trials:
        if not trial.is_canary:
            for cell, outcome in of_trial(trial):
                is_blind = outcome is Outcome.passed and place_of(trial) in blind
                gathered.setdefault(cell, []).append(Outcome.unknown if is_blind else outcome)
    return {cell: worst(seen) for cell, seen in gathered.items()}


def of_trial(trial: Trial) -> Iterator[tuple[Cell, Outcome]]:
    """The outcome of every cell that a trial touched: of one pin's pages, or of the whole where it was not judged."""
    layouts = {file.file: file.layout for file in trial.plan.files}
    for layout, pin in dict.fromkeys((layouts[worker.file], worker.pin) for worker in trial.plan.workers):
        cell = Cell(trial.plan.filesystem, layout, pin, trial.plan.fault_names)
        if not trial.verdict.outcome.is_judged:
            yield cell, trial.verdict.outcome
        else:
            yield (
                cell,
                outcome_of(
                    finding
                    for finding in trial.verdict.findings
                    if finding.layout in ("", layout) and finding.pin in ("", pin)
                ),
            )

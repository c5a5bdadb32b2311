"""The results of a run as one JSON document, for machines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from torture.report.summary import overall
from torture.results.believed import believed
from torture.results.excuses import account, known_of, without_known
from torture.results.groups import gather
from torture.results.store import Trial


def document(trials: Sequence[Trial], facts: dict[str, Any]) -> dict[str, Any]:
    """Facts about the run, every trial, each distinct finding once, and the known ones, which do not count."""
    known, today = known_of(facts), date.today()
    told = account(trials, known, today)
    unexplained = believed(without_known(trials, known, today))
    outcome = overall(unexplained)
    return {
        **facts,
        "outcome": outcome.value,
        "exit_code": outcome.exit_code,
        "trials": [
            {
                "number": trial.number,
                "arm": trial.arm,
                "lab": trial.kernel,
                "filesystem": trial.plan.filesystem,
                "fault": trial.plan.fault_names,
                "plan": trial.plan.identity,
                "outcome": trial.verdict.outcome.value,
                "reason": trial.verdict.reason,
                "seconds": trial.seconds,
                "phases": trial.phases,
                "kernel": trial.release,
                "evidence": trial.evidence,
                "findings": [asdict(finding) for finding in trial.verdict.findings],
            }
            for trial in believed(trials)
        ],
        "findings": [
            {
                **asdict(group.key),
                "pages": group.pages,
                "trials": sorted(group.trials),
                "losing_pins": sorted(group.losing_pins),
                "control": group.control,
            }
            for group in gather(unexplained)
        ],
        "known_findings": [
            {**asdict(entry), "trials": [trial.number for trial in shown]} for entry, shown in told.excused.items()
        ],
        "not_excused": [
            {"name": entry.name, "why": why, "trials": [trial.number for trial in shown]}
            for (entry, why), shown in told.barred.items()
        ],
        "known_unmet": {entry.name: could for entry, could in told.unmet.items()},
    }

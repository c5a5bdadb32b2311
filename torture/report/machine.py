"""The results of a run as one JSON document, for machines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torture.report.groups import gather
from torture.report.summary import EXIT_CODES, overall
from torture.store import Trial


def document(trials: Sequence[Trial], facts: dict[str, Any]) -> dict[str, Any]:
    """Facts about the run, every trial, and each distinct finding once."""
    outcome = overall(trials)
    return {
        **facts,
        "outcome": outcome.value,
        "exit_code": EXIT_CODES[outcome],
        "trials": [
            {
                "number": trial.number,
                "arm": trial.arm,
                "filesystem": trial.plan.filesystem,
                "fault": trial.plan.fault_names,
                "plan": trial.plan.identity,
                "outcome": trial.verdict.outcome.value,
                "reason": trial.verdict.reason,
                "seconds": trial.seconds,
                "phases": trial.phases,
                "kernel": trial.kernel,
                "evidence": trial.evidence,
                "findings": [asdict(finding) for finding in trial.verdict.findings],
            }
            for trial in trials
        ],
        "findings": [
            {
                **asdict(group.key),
                "pages": group.pages,
                "trials": sorted(group.trials),
                "losing_pins": sorted(group.losing_pins),
                "control": group.control,
            }
            for group in gather(trials)
        ],
    }

"""How the experiments that most clauses are rows of are judged: what became of the stores. Pure.

What a page may hold is the oracle's business; here it is put in the words of the table.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from enum import Enum

from torture.contract.experiment import Experiment, Judge, Seen
from torture.contract.verdict import ClauseVerdict, Judgement
from verify.finding import Finding
from verify.outcome import Outcome, outcome_of

_VERDICTS = {
    Outcome.late: ClauseVerdict.late,
    Outcome.unknown: ClauseVerdict.unknown,
    Outcome.failed: ClauseVerdict.broken,
}


class Refusal(Enum):
    """What it means that a store is refused: there was room, so it must not be; there was none, so it should be; or a
    filesystem may do without room, and differs if it cannot."""

    WRONG = "broken"
    DUE = "holds"
    DIFFERS = "differs"


def stores(refusal: Refusal = Refusal.WRONG) -> Judge:
    """A judge of stores that may be refused, or not."""

    def judge(experiment: Experiment, seen: Seen) -> Judgement:
        story = story_of(seen)
        if seen.findings:
            return Judgement(_VERDICTS[outcome_of(seen.findings)], f"{story}, then {counted(seen.findings)}")
        if seen.refused:
            return Judgement(ClauseVerdict(refusal.value), f"{story}, nothing was lost")
        if seen.errors() and refusal is Refusal.WRONG:
            return Judgement(ClauseVerdict.broken, f"{story}, though there was room and no fault")
        return Judgement(ClauseVerdict.holds, f"{story}, nothing was lost")

    return judge


def reported(experiment: Experiment, seen: Seen) -> Judgement:
    """A judge for whom it is enough that a loss is reported."""
    judged = stores(Refusal.DUE)(experiment, seen)
    return replace(judged, verdict=ClauseVerdict.holds) if judged.verdict is ClauseVerdict.late else judged


def story_of(seen: Seen) -> str:
    """What its stores and syncs were told."""
    refusals = Counter(how for store in seen.faults for how in store)
    parts = [f"{count} of {seen.stores} stores refused with {how}" for how, count in sorted(refusals.items())]
    return ", ".join([*(parts or [f"{seen.stores} stores accepted"]), *seen.errors()])


def counted(findings: tuple[Finding, ...]) -> str:
    """What was found, in words."""
    pages: Counter[str] = Counter()
    for finding in findings:
        when = "after the remount" if finding.read == "cold" else "at once"
        whose = " of the clone" if finding.kind == "clone-changed" else ""
        pages[f"{whose} {finding.found} instead of {finding.expected} {when}"] += finding.pages
    return ", ".join(f"{count} page{'s' * (count != 1)}{words}" for words, count in pages.items())

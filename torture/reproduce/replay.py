"""The same plan again and again: how often it fails, and whether in the same way. Timing between kernel threads cannot
be reproduced, so the answer is a rate with an interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torture.draw.arm import Arm
from torture.plan import Plan
from torture.reproduce.signature import describe, in_order, keys, was_judged
from torture.results.groups import Key
from torture.results.statistics import trials_to_see, wilson
from torture.results.store import Task, Trial


@dataclass(slots=True)
class Again:
    """A source of the same plan, again and again."""

    plan: Plan
    kernel: str
    """The label of the kernel, as tasks name it."""
    times: int
    expected: tuple[Key, ...] = ()
    """What a failure should show; empty: any failure is the one."""
    until_failure: bool = False
    """Whether the first trial that shows it is the last."""
    trials: list[Trial] = field(default_factory=list)
    _given: int = 0

    def next(self) -> Task | None:
        """The plan again, unless it was enough."""
        if self._given >= self.times or (self.until_failure and any(map(self._is_it, self.trials))):
            return None
        self._given += 1
        return Task(self._given, Arm.replay, self.plan, self.kernel)

    def finished(self, trial: Trial) -> None:
        """Remember it."""
        self.trials.append(trial)

    def _is_it(self, trial: Trial) -> bool:
        found = keys(trial)
        return bool(found & set(self.expected)) if self.expected else bool(found)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What replays of one plan showed."""

    tried: int
    judged: int
    """Of those that were tried; the others do not count."""
    failed: int
    seen: dict[Key, int]
    """How often each signature was seen, the expected ones first."""
    expected: tuple[Key, ...]
    unjudged: dict[str, int]
    """How many trials do not count, by the reason."""

    @property
    def reproduced(self) -> bool:
        """Whether what was expected was seen; with no expectation, whether anything failed."""
        return any(self.seen[key] for key in self.expected) if self.expected else self.failed > 0


def count(trials: Sequence[Trial], expected: tuple[Key, ...]) -> Replayed:
    """Count what replays of one plan showed."""
    judged = [trial for trial in trials if was_judged(trial)]
    counted = Counter(key for trial in judged for key in keys(trial))
    ordered = dict.fromkeys((*expected, *in_order(counted)))
    unjudged = Counter(
        f"{trial.verdict.outcome.value}: {(trial.verdict.reason.splitlines() or [''])[0]}"
        for trial in trials
        if not was_judged(trial)
    )
    failed = sum(bool(keys(trial)) for trial in judged)
    return Replayed(len(trials), len(judged), failed, {key: counted[key] for key in ordered}, expected, dict(unjudged))


def render(replayed: Replayed, warnings: Sequence[str]) -> str:
    """The result in plain lines."""
    return "\n".join(_lines(replayed, warnings))


def _lines(replayed: Replayed, warnings: Sequence[str]) -> Iterator[str]:
    yield from (f"warning: {warning}" for warning in warnings)
    judged = replayed.judged
    yield f"{replayed.failed} of {judged} trials failed: {wilson(replayed.failed, judged)} (95 % interval)."
    for key, seen in replayed.seen.items():
        known = ("as recorded" if key in replayed.expected else "not recorded before") if replayed.expected else "seen"
        yield f"  {seen} of {judged} ({wilson(seen, judged)}), {known}: {describe(key)}"
    yield from (f"  {number} not counted, {reason}" for reason, number in replayed.unjudged.items())
    yield _verdict(replayed)


def _verdict(replayed: Replayed) -> str:
    if not replayed.judged:
        return "Nothing could be judged."
    if not replayed.reproduced:
        what = "What was recorded was" if replayed.expected else "Nothing was"
        other = " Something else failed." if replayed.failed else ""
        verb = "not seen" if replayed.expected else "seen"
        return f"Not reproduced: {what} {verb} in {replayed.judged} trials.{other}"
    best = max(replayed.seen[key] for key in replayed.expected or replayed.seen) / replayed.judged
    needed = trials_to_see(best)
    same = replayed.expected and all(key in replayed.expected for key, seen in replayed.seen.items() if seen)
    also = "with the recorded signature only" if same else "see the signatures above"
    shown = "1 trial shows" if needed == 1 else f"{needed} trials show"
    return f"Reproduced, {also}; {shown} it again with 95 % certainty."


def document(replayed: Replayed, warnings: Sequence[str], facts: dict[str, Any]) -> dict[str, Any]:
    """The result for machines."""
    return {
        **facts,
        "tried": replayed.tried,
        "judged": replayed.judged,
        "failed": replayed.failed,
        "rate": asdict(wilson(replayed.failed, replayed.judged)),
        "reproduced": replayed.reproduced,
        "warnings": list(warnings),
        "unjudged": replayed.unjudged,
        "signatures": [
            {
                **asdict(key),
                "seen": seen,
                "expected": key in replayed.expected,
                "rate": asdict(wilson(seen, replayed.judged)),
            }
            for key, seen in replayed.seen.items()
        ],
    }

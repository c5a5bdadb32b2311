"""Whether the entries of a known list hold on a kernel: the plan of each runs until a trial shows what the entry says, and
then no more. Pure but for the plans, which it reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from torture.draw.arm import Arm
from torture.plan import Plan
from torture.report.words import count, first_line
from torture.reproduce.signature import describe
from torture.results.excuses import unexplained
from torture.results.groups import key_in
from torture.results.known import Known
from torture.results.known_file import plan_of
from torture.results.store import Task, Trial


@dataclass(slots=True)
class Seen:
    """What the trials of one entry came to."""

    entry: Known
    plan: Plan
    given: int = 0
    judged: int = 0
    release: str = ""
    shown: bool = False
    unjudged: str = ""
    """Why the last trial that could not be judged could not be."""

    def why_not_excused(self, today: date) -> str:
        """Why the entry need not hold on the kernel that ran it; "" if it should."""
        return self.entry.barred(self.release, today)

    def is_refuted(self, today: date) -> bool:
        """Whether it should hold here, and was not seen."""
        return not self.shown and self.judged > 0 and not self.why_not_excused(today)

    def told(self, today: date) -> str:
        """What was seen, in words."""
        if not self.judged:
            return f"cannot be judged here: {self.unjudged}"
        why = self.why_not_excused(today)
        if not self.shown:
            return f"not seen in {count(self.judged, 'trial')}{f'; {why}' if why else ''}"
        seen = f"seen in trial {self.judged} of {self.judged}"
        return f"not excused: {why}; {seen}" if why else f"holds: {seen}"


@dataclass(slots=True)
class Check:
    """A source of trials: each entry's plan at most `times` times, in turn, until it was seen."""

    known: Sequence[Known]
    entries: Sequence[Known]
    kernel: str
    times: int
    today: date
    seen: list[Seen] = field(init=False)
    unexplained: Counter[str] = field(default_factory=Counter)
    """Findings that no entry covers, in words."""
    _tasks: dict[int, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen = [Seen(entry, plan_of(entry)) for entry in self.entries if entry.plan]

    def next(self) -> Task | None:
        """The plan that ran least often of those that are not through."""
        left = [each for each in self.seen if not each.shown and each.given < self.times]
        if not left:
            return None
        chosen = min(left, key=lambda each: each.given)
        chosen.given += 1
        self._tasks[len(self._tasks) + 1] = chosen
        return Task(len(self._tasks), Arm.replay, chosen.plan, self.kernel)

    def finished(self, trial: Trial) -> None:
        """Look for what the entry says."""
        seen = self._tasks[trial.number]
        if not trial.verdict.outcome.is_judged:
            seen.unjudged = first_line(trial.verdict.reason)
            return
        seen.release = trial.release
        seen.judged += not seen.shown
        seen.shown = seen.shown or any(seen.entry.fits(finding, trial.plan) for finding in trial.verdict.findings)
        news = {describe(key_in(trial.plan, finding)) for finding in unexplained(trial, self.known, self.today)}
        self.unexplained.update(f"{text} (plan of {seen.entry.name})" for text in news)

    @property
    def refuted(self) -> list[Seen]:
        """Entries that should hold on this kernel, and were not seen."""
        return [each for each in self.seen if each.is_refuted(self.today)]

    def render(self) -> Iterator[str]:
        """A line for each entry, and for each finding that no entry covers."""
        width = max((len(each.entry.name) for each in self.seen), default=0)
        yield from (f"{each.entry.name:{width}}  {each.told(self.today)}" for each in self.seen)
        yield from (
            f"not covered by any entry: {text}: {count(times, 'trial')}" for text, times in self.unexplained.items()
        )
        unjudged = sum(not each.judged for each in self.seen)
        holds = sum(each.shown and not each.why_not_excused(self.today) for each in self.seen)
        of = f"{holds} of {len(self.seen)} entries hold"
        yield f"{of}, {len(self.refuted)} should and were not seen, {unjudged} could not be judged."

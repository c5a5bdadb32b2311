"""What two sides of a comparison say about one signature, and about all: a verdict and a sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from torture.reproduce.signature import describe
from torture.results.fisher import exact, smallest_visible
from torture.results.groups import Key
from torture.results.statistics import wilson

STILL_CONFIDENCE = 0.99


class Effect(StrEnum):
    """What B does to a failure of A, the most important first."""

    worse = "made worse"
    not_fixed = "not fixed"
    better = "less often"
    unjudged = "could not be judged"
    not_reproducible = "not reproducible on A"
    fixed = "fixed"
    no_difference = "no difference seen"

    @property
    def is_bad(self) -> bool:
        """Whether B has the failure still, or a new one."""
        return self in (Effect.worse, Effect.not_fixed, Effect.better)


@dataclass(frozen=True, slots=True)
class Counts:
    """One signature on both sides: trials that showed it, of those that could have."""

    key: Key | None
    """None: any."""
    a_seen: int
    a_tried: int
    b_seen: int
    b_tried: int

    @property
    def p(self) -> float:
        """Fisher's exact test, two-sided."""
        return exact(self.a_seen, self.a_tried, self.b_seen, self.b_tried)

    @property
    def falls(self) -> bool:
        """Whether B shows it less often than A."""
        return self.a_seen * self.b_tried > self.b_seen * self.a_tried


@dataclass(frozen=True, slots=True)
class Judged:
    """Counts with their verdict."""

    counts: Counts
    verdict: Effect
    alpha: float
    """The level of this one test."""
    clear: bool
    """Whether more trials would not change the verdict."""

    @property
    def sentence(self) -> str:
        """The verdict with its numbers."""
        counts = self.counts
        a, b = _rate(counts.a_seen, counts.a_tried), _rate(counts.b_seen, counts.b_tried)
        return f"{_SENTENCES[self.verdict].format(a=a, b=b, p=f'p = {counts.p:.2g}')}{self._limit()}."

    def _limit(self) -> str:
        """How small a difference would have been seen, where none was."""
        if self.verdict not in (Effect.no_difference, Effect.not_fixed):
            return ""
        counts = self.counts
        visible = smallest_visible(counts.a_seen, counts.a_tried, counts.b_tried, self.alpha)
        if visible is None:
            return "; so few trials could not have shown any difference"
        return f"; a difference of {visible * 100:.0f} points or more would have been seen"


_SENTENCES = {
    Effect.worse: "Made worse: B shows it in {b}, A in {a} ({p})",
    Effect.not_fixed: "Not fixed: B still shows it in {b}, A in {a} ({p}): no difference seen",
    Effect.better: "Less often, but not fixed: A shows it in {a}, B still in {b} ({p})",
    Effect.unjudged: "Nothing can be said: A was judged in {a}, B in {b}",
    Effect.not_reproducible: "Not reproducible on A ({a}), so B ({b}) proves nothing",
    Effect.fixed: "Fixed: A shows it in {a}, B in {b} ({p})",
    Effect.no_difference: "No difference seen: A shows it in {a}, B in {b} ({p})",
}


def judge(counts: Counts, alpha: float, *, expected: bool) -> Judged:
    """Judge one signature. `expected`: A is known for it, so that its absence there, or its presence in B, tells."""
    if not counts.a_tried or not counts.b_tried:
        return Judged(counts, Effect.unjudged, alpha, clear=False)
    if counts.p <= alpha:
        verdict = (Effect.better if counts.b_seen else Effect.fixed) if counts.falls else Effect.worse
        return Judged(counts, verdict, alpha, clear=True)
    if expected and not counts.a_seen:
        return Judged(counts, Effect.not_reproducible, alpha, clear=False)
    verdict = Effect.not_fixed if expected and counts.b_seen else Effect.no_difference
    return Judged(counts, verdict, alpha, clear=_is_still_there(counts, alpha))


def _is_still_there(counts: Counts, alpha: float) -> bool:
    """Whether B shows it at least half as often as A, at `STILL_CONFIDENCE`, in so many trials that a difference could
    have been seen: more trials would not make that a fix."""
    low = wilson(counts.b_seen, counts.b_tried, STILL_CONFIDENCE).low
    often = counts.a_seen > 0 and low >= counts.a_seen / counts.a_tried / 2
    return often and smallest_visible(counts.a_seen, counts.a_tried, counts.b_tried, alpha) is not None


def overall(judged: list[Judged]) -> Judged:
    """The one that matters most; of equals, the one that is least likely to be chance."""
    badness = list(Effect)
    return min(judged, key=lambda each: (badness.index(each.verdict), each.counts.p))


def table(judged: list[Judged]) -> list[str]:
    """One line for each signature: rates with their 95 % intervals, p and verdict."""
    return [
        f"  A {_full(each.counts.a_seen, each.counts.a_tried)}, B {_full(each.counts.b_seen, each.counts.b_tried)},"
        f" p = {each.counts.p:.2g}, {each.verdict.value}:"
        f" {describe(each.counts.key) if each.counts.key else 'any failure'}"
        for each in judged
    ]


def _rate(seen: int, tried: int) -> str:
    return f"{seen} of {tried}"


def _full(seen: int, tried: int) -> str:
    return f"{seen} of {tried} ({wilson(seen, tried)})"

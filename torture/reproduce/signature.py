"""What makes two failures the same, strictly (replay, compare) and across changed plans (shrink). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torture.plan import Plan
from torture.results.groups import Key, deduplicated, key_in
from torture.results.store import Trial
from verify.finding import Finding


@dataclass(frozen=True, slots=True, order=True)
class Likeness:
    """What stays the same of a failure while its plan is cut down: what is broken, and how it is told."""

    filesystem: str
    kind: str
    promise: str
    reported: str


def likeness(of: Key) -> Likeness:
    """The part of a signature that does not depend on fault or layout."""
    return Likeness(of.filesystem, of.kind, of.promise, of.reported)


def signature(plan: Plan, finding: Finding) -> Key:
    """The signature of a finding, whichever read saw it: that depends on what the cache still held."""
    return replace(key_in(plan, finding), read="")


def keys(trial: Trial) -> frozenset[Key]:
    """The signatures that a trial shows; a loss that both reads saw is told once."""
    return frozenset(signature(trial.plan, finding) for finding in deduplicated(trial.verdict.findings))


def likenesses(trial: Trial) -> frozenset[Likeness]:
    """What `shrink` compares of a trial."""
    return frozenset(map(likeness, keys(trial)))


def was_judged(trial: Trial) -> bool:
    """Whether it counts: what could not be run or judged is neither a failure nor a pass."""
    return trial.verdict.outcome.is_judged


def describe(seen: Key) -> str:
    """One signature in words."""
    place = ", ".join(filter(None, (seen.filesystem, seen.layout, f"fault {seen.fault}")))
    reported = f"reported by {seen.reported}" if seen.reported else "not reported"
    return f"{seen.kind} ({seen.promise} promise, {reported}): {place}"


def in_order(found: Iterable[Key]) -> list[Key]:
    """Signatures in a fixed order."""
    return sorted(found, key=describe)

"""What makes two failures the same, strictly (replay, compare) and across changed plans (shrink). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torture.report.groups import Key, key_of, told_once
from torture.store import Trial
from verify.outcome import Outcome

UNJUDGED = (Outcome.unknown, Outcome.notrun)


@dataclass(frozen=True, slots=True, order=True)
class Likeness:
    """What stays the same of a failure while its plan is cut down: what is broken, and how it is told."""

    filesystem: str
    kind: str
    promise: str
    reported: str


def likeness(key: Key) -> Likeness:
    """The part of a signature that does not depend on fault, layout or the read that saw it."""
    return Likeness(key.filesystem, key.kind, key.promise, key.reported)


def keys(trial: Trial) -> frozenset[Key]:
    """The signatures that a trial shows; a loss that both reads saw is told once."""
    return frozenset(key_of(trial, finding) for finding in told_once(trial.verdict.findings))


def likenesses(trial: Trial) -> frozenset[Likeness]:
    """What `shrink` compares of a trial."""
    return frozenset(map(likeness, keys(trial)))


def was_judged(trial: Trial) -> bool:
    """Whether it counts: what could not be run or judged is neither a failure nor a pass."""
    return trial.verdict.outcome not in UNJUDGED


def describe(key: Key) -> str:
    """One signature in words."""
    place = ", ".join(filter(None, (key.filesystem, key.layout, f"fault {key.fault}", f"{key.read} read")))
    reported = f"reported by {key.reported}" if key.reported else "not reported"
    return f"{key.kind} ({key.promise} promise, {reported}): {place}"


def in_order(found: Iterable[Key]) -> list[Key]:
    """Signatures in a fixed order."""
    return sorted(found, key=describe)

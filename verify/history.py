"""What happened to a byte, and what it may hold afterwards: the promises of the design in their smallest form.

The same rules serve for contents of pages and for sizes of files, so events and allowances are generic over what
was written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Literal, TypeVar

W = TypeVar("W")

Fate = Literal["accepted", "faulted", "unknown"]


@dataclass(frozen=True, slots=True, order=True)
class Content:
    """Where bytes may come from: zeros, the BASE stamp of their page, or its STORE stamp of a generation."""

    kind: Literal["zero", "base", "store"]
    generation: int
    writer: int


ZERO = Content("zero", 0, 0)
BASE = Content("base", 0, 0)


@dataclass(frozen=True, slots=True)
class Event(Generic[W]):
    """A store, or a legal zeroing or resizing, to bytes [lo, hi) of a page."""

    wrote: W
    lo: int
    hi: int
    began: int
    """Position in the ledger."""
    ended: int | None
    """Position in the ledger, None if the result was never recorded (fate unknown)."""
    fate: Fate
    acked: bool
    """A sync that began after `ended` and covered the page succeeded, before anything reported the loss."""
    reported: str | None
    """The error, such as "msync ENOSPC", of a sync that covered the page and ended after `began`; None for none."""

    @property
    def failed(self) -> bool:
        """Whether an error was reported, so that no later sync can ack it."""
        return self.reported is not None


@dataclass(frozen=True, slots=True)
class Allowance(Generic[W]):
    """What bytes [lo, hi) of a page may hold."""

    lo: int
    hi: int
    allowed: frozenset[W]
    """Breaks no promise."""
    excused: frozenset[W]
    """Means that the latest store is lost, but its sync said so."""
    durable: frozenset[W]
    """Breaks no sync promise."""
    known: frozenset[W]
    """Everything that was ever there."""
    touched: bool
    """Something happened to them."""
    latest: Event[W] | None
    """The event that was accepted last."""
    vouched: Event[W] | None
    """The last event that a sync vouches for."""

    @property
    def acked(self) -> bool:
        """A sync vouches for one of the events."""
        return self.vouched is not None


def allow(base: W, events: Sequence[Event[W]], *, crash: bool, emptied: W, lo: int = 0, hi: int = 0) -> Allowance[W]:
    """What may be found where `base` was and then these events happened.

    Without a crash: what was accepted last, or an uncertain store after that. After a crash: what was acked last, or
    anything after that. If all that was accepted last is reported as lost, the rule of the crash excuses what is
    found, and so does emptiness (`emptied`) as long as nothing was acked.
    """
    accepted = [event for event in events if event.fate == "accepted"]
    acked = [event for event in events if event.acked]
    latest = _standing(base, events, accepted)
    durable = _standing(base, events, acked)
    last = _unsuperseded(accepted, accepted)
    lost = bool(last) and all(event.failed for event in last)
    allowed = durable if crash else latest
    excused = durable if acked else durable | {emptied}
    return Allowance(
        lo=lo,
        hi=hi,
        allowed=allowed,
        excused=excused - allowed if lost else frozenset(),
        durable=durable,
        known=frozenset({base, *(event.wrote for event in events)}),
        touched=bool(events),
        latest=accepted[-1] if accepted else None,
        vouched=acked[-1] if acked else None,
    )


def _standing(base: W, events: Sequence[Event[W]], binding: Sequence[Event[W]]) -> frozenset[W]:
    """What may have been written last, given the events that bind; the base if none does."""
    written = {event.wrote for event in _unsuperseded(events, binding)}
    return frozenset(written if binding else written | {base})


def _unsuperseded(events: Sequence[Event[W]], binding: Sequence[Event[W]]) -> list[Event[W]]:
    """The events that had not ended before the last binding one began."""
    last_began = max((event.began for event in binding), default=-1)
    return [event for event in events if event.ended is None or event.ended >= last_began]


@dataclass(frozen=True, slots=True)
class History:
    """What happened to each page of a segment, in the order of the ledger."""

    base: Content
    events: tuple[Event[Content], ...]

    def allowances(self, page_bytes: int, *, crash: bool) -> list[Allowance[Content]]:
        """What each byte of a page may hold: adjacent pieces from 0 to `page_bytes`."""
        borders = sorted({0, page_bytes, *(e.lo for e in self.events), *(e.hi for e in self.events)})
        return [self._allowance(lo, hi, crash) for lo, hi in pairwise(borders)]

    def _allowance(self, lo: int, hi: int, crash: bool) -> Allowance[Content]:
        events = [event for event in self.events if event.lo <= lo and hi <= event.hi]
        return allow(self.base, events, crash=crash, emptied=ZERO, lo=lo, hi=hi)

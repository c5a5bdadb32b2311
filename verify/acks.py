"""Which sync vouches for a store, and which one reported its loss."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

NEVER = 2**63
"""A ledger position after every other."""


@dataclass(frozen=True, slots=True)
class EndedSync:
    """A sync that returned, or an error that the kernel reported without one."""

    began: int
    """Ledger position of its beginning."""
    ended: int
    """Ledger position of its result."""
    proves: bool
    """It succeeded, and its success proves that what it covers is durable."""
    reported: str | None
    """Kind of sync and name of the errno, such as "msync ENOSPC"; None for a success."""
    elsewhere: bool = False
    """It failed for other pages of the same mapping. An error is reported once, so later successes for these pages prove
    nothing, but no loss of theirs was reported."""
    is_sync: bool = True
    """False for an error that came without a sync, such as "FAN_FS_ERROR EIO": later successes still prove."""


class Syncs:
    """The syncs that cover a page, given in the order in which they ended."""

    def __init__(self, syncs: Sequence[EndedSync]) -> None:
        self._failures = [sync for sync in syncs if sync.reported and sync.is_sync]
        self._failure_ends = [sync.ended for sync in self._failures]
        self._doubt_ends = [sync.ended for sync in syncs if sync.elsewhere]
        self._notices = [sync for sync in syncs if sync.reported and not sync.is_sync]
        proofs = sorted((sync.began, sync.ended) for sync in syncs if sync.proves)
        self._proof_begins = [began for began, _ in proofs]
        self._earliest_ends = _running_minimum([ended for _, ended in proofs])

    def proof_after(self, position: int) -> int:
        """Where the first sync ended that began after this position and proves durability, or NEVER."""
        return self._earliest_ends[bisect_right(self._proof_begins, position)]

    def failure_after(self, position: int) -> EndedSync | None:
        """The first failed sync that ended after this position."""
        at = bisect_right(self._failure_ends, position)
        return self._failures[at] if at < len(self._failures) else None

    def doubt_after(self, position: int) -> int:
        """Where the first sync after this position ended that failed elsewhere, or NEVER."""
        at = bisect_right(self._doubt_ends, position)
        return self._doubt_ends[at] if at < len(self._doubt_ends) else NEVER

    def notice_after(self, position: int) -> EndedSync | None:
        """The first report without a sync after this position."""
        return next((notice for notice in self._notices if notice.ended > position), None)


def _running_minimum(ends: list[int]) -> list[int]:
    """Of each suffix of the list, the empty one included."""
    minimum = [NEVER]
    for end in reversed(ends):
        minimum.append(min(end, minimum[-1]))
    return minimum[::-1]


@dataclass(frozen=True, slots=True)
class Durability:
    """What syncs say of one store."""

    acked: bool
    """A sync vouches for it."""
    reported: str | None
    """The error that told of its loss, if it is not acked and there was one."""


def durability(began: int, ended: int | None, accepted: bool, covering: Sequence[Syncs]) -> Durability:
    """What the syncs that cover a store say of it; it was under way between these ledger positions.

    A sync that fails while the store is under way may have written the page back and marked it clean. The kernel reports
    such an error once, so a later success proves nothing for that page (kernel-facts, errseq).
    """
    failures = [failure for syncs in covering if (failure := syncs.failure_after(began))]
    failure = min(failures, key=lambda sync: sync.ended, default=None)
    proven = NEVER
    if accepted and ended is not None:
        proven = min((syncs.proof_after(ended) for syncs in covering), default=NEVER)
    doubt = min((syncs.doubt_after(began) for syncs in covering), default=NEVER)
    if proven < min(failure.ended if failure else NEVER, doubt):
        return Durability(acked=True, reported=None)
    notices = [notice for syncs in covering if (notice := syncs.notice_after(began))]
    first = min([*failures, *notices], key=lambda sync: sync.ended, default=None)
    return Durability(acked=False, reported=first.reported if first else None)

"""Which sync vouches for a store, and which one reported its loss."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

NEVER = 2**63
"""A ledger position after every other."""


@dataclass(frozen=True, slots=True)
class EndedSync:
    """A sync that returned: ledger positions of begin and end, and whether its success proves durability.

    reported: kind and name of the errno, such as "msync ENOSPC"; None for a success. `elsewhere`: it failed when asked
    about other pages of the mapping, which may have used up the error of these: no report, but the end of all proof.
    is_sync: False for a report that came without a sync, such as "FAN_FS_ERROR EIO": it takes nothing back that a
    later sync vouches for.
    """

    began: int
    ended: int
    proves: bool
    reported: str | None
    elsewhere: bool = False
    is_sync: bool = True


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
class Verdict:
    """Whether a store is acked, and the report of its loss if there was one before that."""

    acked: bool
    reported: str | None


def judge(began: int, ended: int | None, accepted: bool, covering: Sequence[Syncs]) -> Verdict:
    """The fate of what was written between these ledger positions under the syncs that cover it.

    A sync that fails while the store is still under way may have met its page, and have marked it clean: errors are
    reported once, so a later success of a sync proves nothing for such a page (kernel-facts, errseq).
    """
    failures = [failure for syncs in covering if (failure := syncs.failure_after(began))]
    failure = min(failures, key=lambda sync: sync.ended, default=None)
    proven = NEVER
    if accepted and ended is not None:
        proven = min((syncs.proof_after(ended) for syncs in covering), default=NEVER)
    doubt = min((syncs.doubt_after(began) for syncs in covering), default=NEVER)
    if proven < min(failure.ended if failure else NEVER, doubt):
        return Verdict(acked=True, reported=None)
    notices = [notice for syncs in covering if (notice := syncs.notice_after(began))]
    told = min([*failures, *notices], key=lambda sync: sync.ended, default=None)
    return Verdict(acked=False, reported=told.reported if told else None)

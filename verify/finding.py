"""Findings: broken promises, each with the facts that a report or a reproduction needs."""

from dataclasses import dataclass, field
from typing import Literal

from verify.codec import OPTIONAL
from verify.numbers import U32, PageIndex, Sectors

FindingKind = Literal[
    "lost",
    "torn",
    "misdirected",
    "exposed",
    "corrupt",
    "unreadable",
    "short",
    "clone-changed",
    "late",
    "hang",
    "overfull",
    "fsck",
    "kernel",
    "unjudged",
]
Promise = Literal["store", "sync", "isolation", "liveness", "invented"]
Read = Literal["warm", "cold"]


_MOST_CALLS = 6
"""Are told in words."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a call returned that could have told of a loss, or that vouched for the store."""

    name: str
    """A sync, as in verify.ledger.Sync, or FAN_FS_ERROR for a notice of the filesystem."""
    worker: U32
    """Who called; 0 for a notice."""
    result: str
    """0, the name of an errno, or "did not return"."""
    elsewhere: bool
    """It was asked for other pages of the same file. The error of a file is told once through each descriptor."""

    def __str__(self) -> str:
        return f"{self.name}{' of other pages' * self.elsewhere} {self.result}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise on adjacent pages that share all facts."""

    kind: FindingKind
    """A kind of the design, or "unjudged": an irregular page beyond the reader's limit, whose bytes would be needed to
    tell a legal mix of generations from corruption."""
    promise: Promise
    file: U32
    """Its id, 0 if no file is concerned."""
    name: str
    """Of the file, "" for none."""
    layout: str
    """Of the file, "" for none."""
    pin: str
    """Of the worker concerned, "" for none."""
    access: str
    """Of the worker concerned, "" for none."""
    writer: int | None
    """The worker that stored what was expected, None for none."""
    first_page: PageIndex
    pages: PageIndex
    """0 if the finding is about the file as a whole."""
    sectors: Sectors
    """Bit i: sector i of each page is affected."""
    expected: str
    """Contents in words."""
    found: str
    """Contents in words."""
    reported: str | None
    """The error that told of the loss, such as "msync ENOSPC"; None if nothing did."""
    read: Read
    """Whether the cache (warm) or the disk after a remount (cold) showed it."""
    due: int | None = field(default=None, compare=False, metadata=OPTIONAL)
    """Position in the ledger of the act whose content is due: the store that is lost, for instance. None for none."""
    calls: tuple[Call, ...] = field(default=(), metadata=OPTIONAL)
    """The calls that covered it, in the order in which they returned."""
    circumstances: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    """Names of verify.circumstances.CIRCUMSTANCES that hold."""

    @property
    def told(self) -> str:
        """Who was told of it, in the words of all reports."""
        reported = f"reported by {self.reported}" if self.reported else "not reported"
        if self.due is None:
            return reported
        more = f" and {len(self.calls) - _MOST_CALLS} more" if len(self.calls) > _MOST_CALLS else ""
        calls = ", ".join(map(str, self.calls[:_MOST_CALLS]))
        return f"{reported}; calls that cover it: {calls or 'none'}{more}"


def of_filesystem(kind: FindingKind, promise: Promise, *, expected: str, found: str) -> Finding:
    """A finding about the filesystem as a whole: no file, no worker, no page."""
    return Finding(
        kind=kind,
        promise=promise,
        file=0,
        name="",
        layout="",
        pin="",
        access="",
        writer=None,
        first_page=0,
        pages=0,
        sectors=0,
        expected=expected,
        found=found,
        reported=None,
        read="cold",
    )

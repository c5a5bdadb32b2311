"""Findings: broken promises, each with the facts that a report or a reproduction needs."""

from dataclasses import dataclass
from typing import Literal

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
    "fsck",
    "kernel",
    "unjudged",
]
Promise = Literal["store", "sync", "isolation", "liveness"]
Read = Literal["warm", "cold"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise on adjacent pages that share all facts.

    kind: one of the kinds of the design, or "unjudged": an irregular page beyond the reader's limit,
    whose bytes would be needed to tell a legal mix of generations from corruption.
    layout, pin, access: "" where no file or worker is concerned; writer: the worker that stored
    `expected`, or None. pages: 0 if the finding is about the file as a whole. sectors: bit i is set if
    sector i of each page is affected. expected, found: contents in words. reported: the errno that told
    of the loss, such as "msync ENOSPC", or None. read: whether the cache (warm) or the disk after a
    remount (cold) showed it.
    """

    kind: FindingKind
    promise: Promise
    file: int
    name: str
    layout: str
    pin: str
    access: str
    writer: int | None
    first_page: int
    pages: int
    sectors: int
    expected: str
    found: str
    reported: str | None
    read: Read


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

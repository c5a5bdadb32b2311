"""What a crash may leave is what the filesystem, as it was found mounted, does not promise. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torture.filesystems import Filesystem
from verify.breach import MIXED_SECTOR
from verify.finding import Finding

_ALIEN = ("misdirected", "exposed", "corrupt")


def promised(row: Filesystem, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Of what was found after a crash, what breaks a promise. What was read before the crash has no excuse here, nor what
    the kernel said."""
    for finding in findings:
        if finding.read == "warm" or finding.promise == "liveness" or not _excused(row, finding):
            yield finding


def _excused(row: Filesystem, finding: Finding) -> bool:
    return bool(
        row.void("sync promise")
        or (not row.has("journal") and _shared(finding))
        or (row.void("order promise") and finding.kind in _ALIEN and finding.promise == "store")
    )


def _shared(finding: Finding) -> bool:
    """After a crash, files of a filesystem without a journal may claim blocks that others have by now: freed and handed
    out again before the metadata of either reached the disk. What they show then breaks no promise that was made, nor what
    fsck does to a block that one of them claims for metadata: it clears numbers in it that cannot be blocks."""
    return finding.kind in _ALIEN or finding.found == MIXED_SECTOR

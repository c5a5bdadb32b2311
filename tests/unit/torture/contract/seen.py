"""Records of a worker that has four pages of file 1, made by hand."""

from __future__ import annotations

from errno import ENOSPC

from torture.contract.experiment import Seen
from verify import ledger
from verify.finding import Finding
from verify.ledger import Record

PAGES, PAGE = 4, 4096


def store(generation: int) -> ledger.Store:
    """A store to all pages begins."""
    return ledger.Store(1, 1, 0, PAGES, generation, 0, PAGE)


def refused(pages: int, how: str) -> tuple[Record, ...]:
    """A second store, refused at so many pages."""
    return store(2), ledger.Stored(1, tuple(ledger.RefusedPage(page, how, 0, 0) for page in range(pages)))


def sync(name: str, errno: int) -> tuple[Record, ...]:
    """A sync and what it returned."""
    return ledger.Sync(1, name, (1,), 0, PAGES), ledger.Synced(1, errno)


def looked(**fields: int) -> ledger.Looked:
    """What is seen of a clean hole."""
    usual = dict.fromkeys(("nonzero_bytes", "resident_kib", "dirty_kib", "locked_kib", "blocks", "mtime_ns"), 0)
    return ledger.Looked(1, **{**usual, **fields})


STORE_1, STORE_2 = (store(1), ledger.Stored(1, ())), (store(2), ledger.Stored(1, ()))
SYNCED, FAILED = sync("msync", 0), sync("msync", ENOSPC)


def seen(*records: Record, pin: str = "mlock", pin_errno: int = 0, findings: tuple[Finding, ...] = ()) -> Seen:
    """What the judge of a row gets."""
    begun = (ledger.Worker(1, 1, pin, "store", 0, PAGES), ledger.Pinned(1, pin_errno))
    return Seen((*begun, *records), findings)

"""Syncs: what a worker asks the kernel to make durable. One row of `SYNCS` each, by the name that plans use.

A sync's errno is what the application is told, so nothing else may use the worker's descriptor to wait
for writeback (see `writeback`): a writeback error is reported once through it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from verify.ledger import Sync as SyncRecord
from workloads import libc
from workloads.mapped_file import MappedFile


class Scope(Enum):
    """What a sync covers: nothing (not recorded at all), the pages asked for, or the whole file."""

    NOTHING = 0
    PAGES = 1
    FILE = 2


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync: `call` gets the mapped file, first page and number of pages, and raises OSError if the
    sync failed.

    `kind` is the ledger's word for it (verify.ledger.Sync).
    """

    name: str
    kind: str
    scope: Scope
    call: Callable[[MappedFile, int, int], None]

    def record(self, worker: int, mapped: MappedFile, first_page: int, pages: int) -> SyncRecord:
        """The ledger's record of what this sync covers when asked for these pages."""
        if self.scope is Scope.PAGES:
            return SyncRecord(worker, self.kind, (mapped.file,), first_page, pages)
        return SyncRecord(worker, self.kind, (mapped.file,), 0, 0)

    def perform(self, mapped: MappedFile, first_page: int, pages: int) -> int:
        """Sync; returns 0 or the errno."""
        return libc.errno_of(lambda: self.call(mapped, first_page, pages))


def _msync(mapped: MappedFile, first_page: int, pages: int) -> None:
    libc.msync(mapped.page_address(first_page), pages * mapped.page_bytes, libc.MS_SYNC)


def _fsync(mapped: MappedFile, first_page: int, pages: int) -> None:
    os.fsync(mapped.descriptor)


def _nothing(mapped: MappedFile, first_page: int, pages: int) -> None:
    return


SYNCS = {
    sync.name: sync
    for sync in (
        Sync("msync", "msync", Scope.PAGES, _msync),
        Sync("fsync", "fsync", Scope.FILE, _fsync),
        Sync("nothing", "", Scope.NOTHING, _nothing),
    )
}

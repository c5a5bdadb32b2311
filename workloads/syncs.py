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
    """What a sync covers: nothing (not recorded at all), the pages asked for, the file, or the whole filesystem."""

    NOTHING = 0
    PAGES = 1
    FILE = 2
    FILESYSTEM = 3


@dataclass(frozen=True, slots=True)
class Sync:
    """A row of `SYNCS`."""

    name: str
    kind: str
    """What the ledger calls it (verify.ledger.Sync)."""
    scope: Scope
    call: Callable[[MappedFile, int, int], None]
    """Gets the mapped file, first page and number of pages, and raises OSError if the sync failed."""

    def record(self, worker: int, mapped: MappedFile, first_page: int, pages: int) -> SyncRecord:
        """The ledger's record of what this sync covers when asked for these pages."""
        files = () if self.scope is Scope.FILESYSTEM else (mapped.file,)
        pages_asked = (first_page, pages) if self.scope is Scope.PAGES else (0, 0)
        return SyncRecord(worker, self.kind, files, *pages_asked)

    def perform(self, mapped: MappedFile, first_page: int, pages: int) -> int:
        """Sync; returns 0 or the errno."""
        return libc.errno_of(lambda: self.call(mapped, first_page, pages))


def _msync(mapped: MappedFile, first_page: int, pages: int) -> None:
    libc.msync(mapped.page_address(first_page), pages * mapped.page_bytes, libc.MS_SYNC)


def _fsync(mapped: MappedFile, first_page: int, pages: int) -> None:
    os.fsync(mapped.descriptor)


def _msync_pages(mapped: MappedFile, first_page: int, pages: int) -> None:
    """One call a page. The first error ends it: the descriptor reports an error once, so later calls would lie."""
    for page in range(first_page, first_page + pages):
        _msync(mapped, page, 1)


def _async_fsync(mapped: MappedFile, first_page: int, pages: int) -> None:
    """MS_ASYNC does nothing since 2.6.19 (mm/msync.c) but must not break what fsync does."""
    libc.msync(mapped.page_address(first_page), pages * mapped.page_bytes, libc.MS_ASYNC)
    os.fsync(mapped.descriptor)


def _fdatasync(mapped: MappedFile, first_page: int, pages: int) -> None:
    os.fdatasync(mapped.descriptor)


def _syncfs(mapped: MappedFile, first_page: int, pages: int) -> None:
    libc.syncfs(mapped.descriptor)


def _sync(mapped: MappedFile, first_page: int, pages: int) -> None:
    """Waits, but never reports an error (sync(2))."""
    os.sync()


def _sync_file_range(mapped: MappedFile, first_page: int, pages: int) -> None:
    """Writes pages and waits, but neither metadata nor the disk's cache: promises nothing (sync_file_range(2))."""
    flags = libc.SYNC_FILE_RANGE_WAIT_BEFORE | libc.SYNC_FILE_RANGE_WRITE | libc.SYNC_FILE_RANGE_WAIT_AFTER
    libc.sync_file_range(mapped.descriptor, first_page * mapped.page_bytes, pages * mapped.page_bytes, flags)


def _fsync_other(mapped: MappedFile, first_page: int, pages: int) -> None:
    os.fsync(mapped.other_descriptor)


def _nothing(mapped: MappedFile, first_page: int, pages: int) -> None:
    return


SYNCS = {
    sync.name: sync
    for sync in (
        Sync("msync", "msync", Scope.PAGES, _msync),
        Sync("msync-pages", "msync", Scope.PAGES, _msync_pages),
        Sync("async-fsync", "async_fsync", Scope.FILE, _async_fsync),
        Sync("fsync", "fsync", Scope.FILE, _fsync),
        Sync("fsync-other", "fsync", Scope.FILE, _fsync_other),
        Sync("fdatasync", "fdatasync", Scope.FILE, _fdatasync),
        Sync("syncfs", "syncfs", Scope.FILESYSTEM, _syncfs),
        Sync("sync", "sync", Scope.FILESYSTEM, _sync),
        Sync("sync-file-range", "sync_file_range", Scope.PAGES, _sync_file_range),
        Sync("nothing", "", Scope.NOTHING, _nothing),
    )
}

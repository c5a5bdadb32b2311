"""Background writeback on demand: have it happen, and be over, before the worker asks for a sync.

What the kernel's flusher does 30 seconds later is done now and awaited, without touching what the worker's own
descriptor has still to report. How (kernel sources of 6.1 and 6.18, and seen on both):

- SYNC_FILE_RANGE_WRITE alone starts writeback as the flusher would (WB_SYNC_NONE) and looks at no error cursor
  (fs/sync.c, sync_file_range), so the worker's own descriptor may be used. Like the flusher it stops at the first
  page that fails (mm/page-writeback.c, write_cache_pages), so it is repeated until it gets through.
- Its WAIT flags would consume the error of the descriptor (file_check_and_advance_wb_err). cachestat(2), since 6.5,
  counts the file's pages under writeback and changes nothing: it is polled.
- Before 6.5 a descriptor of our own, opened for it, does the waiting. It consumes its own cursor only; the worker's
  descriptor still reports the error (seen on ext4 and btrfs). The one difference to real background writeback: the
  error counts as seen, so descriptors opened *later* do not report it (lib/errseq.c, errseq_sample).
- /proc/vmstat was rejected: it counts other filesystems too, and lags by up to a second per CPU. So was sync(2): it
  commits the journal, which makes durable what background writeback leaves to be lost.

Everything is done twice because the first pass returns before btrfs's compression threads have put their pages under
writeback; the second has to wait for their page locks (fs/btrfs/ordered-data.c, btrfs_fdatawrite_range).
No timeout here: whoever waits for the worker has one.
"""

from __future__ import annotations

import errno
import os
import time

from verify.descriptors import opened
from workloads import libc
from workloads.mapped_file import MappedFile

_PASSES = 2
_POLL_S = 0.001


def write_back(mapped: MappedFile) -> None:
    """Write back all dirty pages of the file and wait until none is under writeback.

    Returns normally whatever the outcome: errors stay with the file, for the worker's sync to report.
    Raises OSError only if waiting itself is impossible.
    """
    for _ in range(_PASSES):
        start(mapped.descriptor, mapped.page_bytes)
        _wait(mapped)


def start(descriptor: int, page_bytes: int) -> None:
    """Submit every dirty page once; a page that fails ends the call, is clean then, and so costs one more call."""
    attempts = os.fstat(descriptor).st_size // page_bytes + 1
    for _ in range(attempts):
        if not _submit(descriptor):
            return


def _submit(descriptor: int) -> int:
    return libc.errno_of(lambda: libc.sync_file_range(descriptor, 0, 0, libc.SYNC_FILE_RANGE_WRITE))


def _wait(mapped: MappedFile) -> None:
    try:
        wait_by_cachestat(mapped.descriptor)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        wait_by_other_descriptor(mapped)


def wait_by_cachestat(descriptor: int) -> None:
    """Poll until no page of the file is under writeback. Raises OSError (ENOSYS before Linux 6.5)."""
    while libc.cachestat(descriptor).nr_writeback:
        time.sleep(_POLL_S)


def wait_by_other_descriptor(mapped: MappedFile) -> None:
    """Wait until what is under writeback is not; the error that this descriptor reports is left to the worker's."""
    with opened(mapped.path) as descriptor:
        libc.errno_of(lambda: libc.sync_file_range(descriptor, 0, 0, libc.SYNC_FILE_RANGE_WAIT_BEFORE))

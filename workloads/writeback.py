"""Background writeback on demand: have it happen, and be over, before the worker asks for a sync.

What the kernel's flusher does 30 seconds later is done now and awaited, without touching what the worker's own
descriptor has still to report. How (kernel sources of 6.1 and 6.18, and seen on both):

- SYNC_FILE_RANGE_WRITE alone starts writeback as the flusher would (WB_SYNC_NONE) and looks at no error cursor
  (fs/sync.c, sync_file_range), so the worker's own descriptor may be used. Like the flusher it stops at the first
  page that fails (mm/page-writeback.c, write_cache_pages), so it is repeated until it gets through.
- Its WAIT flags would consume the error of the descriptor (file_check_and_advance_wb_err). cachestat(2), since 6.5,
  counts the file's pages under writeback and changes nothing: it is polled.
- Before 6.5 FIEMAP with FIEMAP_FLAG_SYNC waits for the whole file, or where there is none (jfs, reiserfs) an O_DIRECT read
  of all of it: both call filemap_write_and_wait_range (mm/filemap.c), which looks at the flags AS_EIO and AS_ENOSPC of the
  mapping and at no error cursor. A descriptor of our own would not do: its wait makes the error count as seen, and who
  opens the file *later* is told nothing (lib/errseq.c, errseq_sample).
- /proc/vmstat was rejected: it counts other filesystems too, and lags by up to a second per CPU. So was sync(2): it
  commits the journal, which makes durable what background writeback leaves to be lost.

Everything is done twice because the first pass returns before btrfs's compression threads have put their pages under
writeback; the second has to wait for their page locks (fs/btrfs/ordered-data.c, btrfs_fdatawrite_range).
No timeout here: whoever waits for the worker has one.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable
from functools import partial

from verify.descriptors import opened
from workloads import libc
from workloads.extents import write_and_wait
from workloads.mapped_file import MappedFile

_PASSES = 2
_POLL_S = 0.001
_PIECE_BYTES = 1 << 20
_NO_SUCH_WAY = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL)


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
    """By the first way that this kernel and filesystem have."""
    for way in (_poll, _ask_where_it_lies, _read_directly):
        try:
            way(mapped)
            break
        except OSError as error:
            if error.errno not in _NO_SUCH_WAY:
                raise


def _poll(mapped: MappedFile) -> None:
    wait_by_cachestat(mapped.descriptor)


def _ask_where_it_lies(mapped: MappedFile) -> None:
    _but_for_its_errors(partial(write_and_wait, mapped.descriptor))


def _read_directly(mapped: MappedFile) -> None:
    """Not on tmpfs, which has no such reads (EINVAL) and writes nothing back."""
    with opened(mapped.path, os.O_RDONLY | os.O_DIRECT) as descriptor, mmap.mmap(-1, _PIECE_BYTES) as piece:
        for offset_bytes in range(0, os.fstat(descriptor).st_size, _PIECE_BYTES):
            _but_for_its_errors(partial(_read, descriptor, piece, offset_bytes))


def _read(descriptor: int, piece: mmap.mmap, offset_bytes: int) -> None:
    os.preadv(descriptor, [piece], offset_bytes)


def _but_for_its_errors(wait: Callable[[], None]) -> None:
    """Errors stay with the file."""
    if (error := libc.errno_of(wait)) in _NO_SUCH_WAY:
        raise OSError(error, os.strerror(error))


def wait_by_cachestat(descriptor: int) -> None:
    """Poll until no page of the file is under writeback. Raises OSError (ENOSYS before Linux 6.5)."""
    while libc.cachestat(descriptor).nr_writeback:
        time.sleep(_POLL_S)

"""Limits how much a worker may lock, and how big its files may be: RLIMIT_MEMLOCK and RLIMIT_FSIZE (getrlimit(2))."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

UNLIMITED = -1
"""Stands for no limit, in plans too."""

_fsize_bytes = UNLIMITED


def highest_memlock_bytes() -> int:
    """The highest limit that this process can give a worker, in bytes, or UNLIMITED.

    Found by trying: root may lack CAP_SYS_RESOURCE, and a namespace's own capability does not count.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, resource.RLIM_INFINITY))
    except ValueError:
        return hard
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    return UNLIMITED


def attainable_memlock_bytes(wanted_bytes: int) -> int:
    """The limit that a worker can be given when so many bytes, or UNLIMITED, are wanted."""
    highest = highest_memlock_bytes()
    if highest == UNLIMITED:
        return wanted_bytes
    return highest if wanted_bytes == UNLIMITED else min(wanted_bytes, highest)


def set_memlock(limit_bytes: int) -> None:
    """Limit this process to so many bytes, or as near as it can (see `attainable_memlock_bytes`)."""
    given = attainable_memlock_bytes(limit_bytes)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (given, given))


def set_fsize(limit_bytes: int) -> None:
    """Remember the limit on the files of this process for `fsize_in_force`; beyond it, calls then fail with EFBIG."""
    global _fsize_bytes
    _fsize_bytes = limit_bytes
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


@contextmanager
def fsize_in_force() -> Iterator[None]:
    """The limit holds in this context only, as a worker's ledger is a file too, and must not be limited."""
    if _fsize_bytes == UNLIMITED:
        yield
        return
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_fsize_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

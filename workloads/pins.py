"""Pins: how a worker's mapping is made resident. One row of `PINS` each, by the name that plans use.

A pin that fails is something to record, not an error of the tool: `pin` returns its errno and the worker goes on with
whatever is locked. VM_LOCKED stays set on the mapping even after a failed populate (mm/mlock.c, do_mlock).
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from workloads import libc
from workloads.children import Child
from workloads.mapped_file import MappedFile

_PROCESS_SLACK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Pin:
    """A way to pin."""

    name: str
    mapping: str
    """What it makes of the mapping, in the words of a bug report; "" if it does nothing to it."""
    pin: Callable[[MappedFile], int]
    """Maps the file, pins the mapping, and returns 0 or the errno with which the pinning failed. It raises OSError only
    if the file cannot be mapped at all."""
    locked_bytes: Callable[[int], int]
    """What a mapping of so many bytes counts against RLIMIT_MEMLOCK of its process."""


def _map_only(mapped: MappedFile) -> int:
    mapped.map()
    return 0


def _mlock(mapped: MappedFile) -> int:
    mapped.map()
    return libc.errno_of(lambda: libc.mlock(mapped.address, mapped.length_bytes))


def _mlock2_onfault(mapped: MappedFile) -> int:
    mapped.map()
    return libc.errno_of(lambda: libc.mlock2(mapped.address, mapped.length_bytes, libc.MLOCK_ONFAULT))


def _map_locked(mapped: MappedFile) -> int:
    """MAP_LOCKED ignores a failed populate but refuses to map beyond RLIMIT_MEMLOCK (EAGAIN, mmap(2))."""
    failed = libc.errno_of(lambda: mapped.map(libc.MAP_LOCKED))
    if failed:
        mapped.map()
    return failed


def _mlock_part(mapped: MappedFile) -> int:
    """The first half, so that the mapping is split in two (mm/mlock.c, mlock_fixup)."""
    mapped.map()
    half_bytes = max(mapped.pages // 2, 1) * mapped.page_bytes
    return libc.errno_of(lambda: libc.mlock(mapped.address, half_bytes))


def _mlock_elsewhere(mapped: MappedFile) -> int:
    """In another process, which maps and locks the same pages, stores nothing, and stays."""
    mapped.map()
    child = Child(lambda: _mlock(mapped), stays=True)
    mapped.held.callback(child.end)
    return int(child.result())


def _munlocked(mapped: MappedFile) -> int:
    """Locked, then unlocked: the pages stay populated, read-only."""
    failed = _mlock(mapped)
    return failed or libc.errno_of(lambda: libc.munlock(mapped.address, mapped.length_bytes))


def _mlockall_current(flags: int, mapped: MappedFile) -> int:
    mapped.map()
    return libc.errno_of(lambda: libc.mlockall(libc.MCL_CURRENT | flags))


def _mlockall_future(flags: int, mapped: MappedFile) -> int:
    """Everything mapped from now on; a mapping beyond RLIMIT_MEMLOCK is then refused (EAGAIN)."""
    failed = libc.errno_of(lambda: libc.mlockall(libc.MCL_FUTURE | flags))
    mapped.map()
    return failed


def _map_populate(mapped: MappedFile) -> int:
    """A read fault of every page, errors ignored (mm/gup.c, __mm_populate)."""
    mapped.map(libc.MAP_POPULATE)
    return 0


def _advised(advice: int, mapped: MappedFile) -> int:
    mapped.map()
    return libc.errno_of(lambda: libc.madvise(mapped.address, mapped.length_bytes, advice))


def _nothing(mapped_bytes: int) -> int:
    return 0


def _everything(mapped_bytes: int) -> int:
    return mapped_bytes


def _process(mapped_bytes: int) -> int:
    """mlockall counts all that the process has mapped (mm/mlock.c): this one is what workers are forked from."""
    total_pages, page_bytes = int(Path("/proc/self/statm").read_text().split()[0]), mmap.PAGESIZE
    return mapped_bytes + total_pages * page_bytes + _PROCESS_SLACK_BYTES


PINS = {
    pin.name: pin
    for pin in (
        Pin("none", "", _map_only, _nothing),
        Pin("mlock", "an mlocked mapping", _mlock, _everything),
        Pin("mlock2-onfault", "a mapping under mlock2(MLOCK_ONFAULT)", _mlock2_onfault, _everything),
        Pin("map-locked", "a MAP_LOCKED mapping", _map_locked, _everything),
        Pin("mlock-part", "a half mlocked mapping", _mlock_part, _everything),
        Pin("mlock-elsewhere", "a mapping mlocked in another process", _mlock_elsewhere, _everything),
        Pin("munlocked", "a mapping that was munlocked again", _munlocked, _everything),
        Pin("mlockall-current", "a mapping under mlockall(MCL_CURRENT)", partial(_mlockall_current, 0), _process),
        Pin(
            "mlockall-current-onfault",
            "a mapping under mlockall(MCL_CURRENT | MCL_ONFAULT)",
            partial(_mlockall_current, libc.MCL_ONFAULT),
            _process,
        ),
        Pin("mlockall-future", "a mapping under mlockall(MCL_FUTURE)", partial(_mlockall_future, 0), _process),
        Pin(
            "mlockall-future-onfault",
            "a mapping under mlockall(MCL_FUTURE | MCL_ONFAULT)",
            partial(_mlockall_future, libc.MCL_ONFAULT),
            _process,
        ),
        Pin("map-populate", "a MAP_POPULATE mapping", _map_populate, _nothing),
        Pin("populate-read", "a mapping after MADV_POPULATE_READ", partial(_advised, libc.MADV_POPULATE_READ), _nothing),
        Pin("populate-write", "a mapping after MADV_POPULATE_WRITE", partial(_advised, libc.MADV_POPULATE_WRITE), _nothing),
    )
}

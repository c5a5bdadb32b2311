"""Pins: how a worker's mapping is made resident. One row of `PINS` each, by the name that plans use.

A pin that fails is something to record, not an error of the tool: `pin` returns its errno and the
worker goes on with whatever is locked. VM_LOCKED stays set on the mapping even after a failed populate
(mm/mlock.c, do_mlock).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workloads import libc
from workloads.mapped_file import MappedFile


@dataclass(frozen=True, slots=True)
class Pin:
    """A way to pin.

    `pin` maps the file and pins the mapping, and returns 0 or the errno with which the pinning failed;
    it raises OSError only if the file cannot be mapped at all. `locked_bytes` is what a mapping of so
    many bytes counts against RLIMIT_MEMLOCK of its process.
    """

    name: str
    pin: Callable[[MappedFile], int]
    locked_bytes: Callable[[int], int]


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


def _nothing(mapped_bytes: int) -> int:
    return 0


def _everything(mapped_bytes: int) -> int:
    return mapped_bytes


PINS = {
    pin.name: pin
    for pin in (
        Pin("none", _map_only, _nothing),
        Pin("mlock", _mlock, _everything),
        Pin("mlock2-onfault", _mlock2_onfault, _everything),
        Pin("map-locked", _map_locked, _everything),
    )
}

"""What the user asks for: the options of `torture run` as one frozen, checked value."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torture.errors import BadRequest
from torture.faults import FAULTS, parse
from torture.filesystems import FILESYSTEMS, USUAL, filesystem
from torture.plan import MAX_MEMLOCK_BYTES, MAX_PAGES, MAX_WORKERS, FaultSpec
from workloads.access import ACCESSES
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS
from workloads.syncs import SYNCS

DEFAULT_FAULTS = ("none", "enospc", "power-cut")
DEFAULT_PINS = ("mlock", "mlock2-onfault", "map-locked")
DEFAULT_SYNCS = ("msync", "fsync")
DEFAULT_LAYOUTS = ("hole", "unwritten", "written", "reflinked")
DEFAULT_ACCESSES = ("store", "read")
BACKGROUNDS = ("yes", "no")
"""Whether background writeback comes before the first sync."""
ALL = "all"
COMPOSED = ("enospc+power-cut", "enospc+shutdown", "edquot-user+power-cut")
"""Faults that make sense together, and are drawn so."""


@dataclass(frozen=True, slots=True)
class Request:
    """Dimensions and their values, in the order given. `representative`: no dimension of a worker was named, so a few
    workers that touch every value stand for the whole product. `count` is the number of draws per filesystem and fault.
    `workers` share each file; each owns `pages` pages. `pairwise`: `count` plans from the whole space instead
    (torture.draw.pairwise). `plans`: exactly these, as JSON, and nothing is drawn.
    """

    filesystems: tuple[str, ...] = USUAL
    layouts: tuple[str, ...] = DEFAULT_LAYOUTS
    pins: tuple[str, ...] = DEFAULT_PINS
    accesses: tuple[str, ...] = DEFAULT_ACCESSES
    syncs: tuple[str, ...] = DEFAULT_SYNCS
    faults: tuple[FaultSpec, ...] = tuple(FaultSpec(name, {}) for name in DEFAULT_FAULTS)
    mkfs_options: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    seed: int = 0
    count: int = 1
    pages: int = 8
    workers: int = 2
    memlock_bytes: int = -1
    control: bool = True
    canary: bool = True
    representative: bool = True
    pairwise: bool = False
    disturbances: tuple[str, ...] = ("none",)
    backgrounds: tuple[str, ...] = BACKGROUNDS
    plans: tuple[str, ...] = ()
    page_bytes: int = mmap.PAGESIZE

    def __post_init__(self) -> None:
        _in_range("--count", self.count, 1, 1_000_000)
        _in_range("--pages", self.pages, 1, MAX_PAGES)
        _in_range("--workers", self.workers, 1, MAX_WORKERS)
        _in_range("--memlock", self.memlock_bytes, -1, MAX_MEMLOCK_BYTES)


def whole_space() -> Request:
    """Every value of every dimension, but canaries and what most kernels cannot do."""
    return Request(
        filesystems=tuple(FILESYSTEMS),
        layouts=tuple(LAYOUTS),
        pins=tuple(PINS),
        accesses=tuple(ACCESSES),
        syncs=tuple(SYNCS),
        disturbances=("none", *(name for name, row in DISTURBANCES.items() if not row.seldom and name != "background")),
        faults=(*(FaultSpec(name, {}) for name, fault in FAULTS.items() if not fault.canary), *map(parse, COMPOSED)),
        pairwise=True,
    )


def choose(option: str, given: Iterable[str], known: Mapping[str, object], default: tuple[str, ...]) -> tuple[str, ...]:
    """The values of one repeatable option: those given, every one for `all`, `default` for none."""
    values = tuple(dict.fromkeys(given))
    if not values:
        return default
    if ALL in values:
        return tuple(known)
    for value in values:
        if value not in known:
            raise BadRequest(f"{option} {value!r} is unknown", f"allowed are {', '.join(known)} and {ALL}")
    return values


def choose_filesystems(given: Iterable[str], default: tuple[str, ...] = USUAL) -> tuple[str, ...]:
    """Filesystem rows by name."""
    chosen = choose("--fs", given, FILESYSTEMS, default)
    return tuple(filesystem(name).name for name in chosen)


_DEFAULT_FAULT_SPECS = tuple(FaultSpec(name, {}) for name in DEFAULT_FAULTS)


def choose_faults(given: Iterable[str], default: tuple[FaultSpec, ...] = _DEFAULT_FAULT_SPECS) -> tuple[FaultSpec, ...]:
    """Faults, `NAME` or `NAME:KEY=NUMBER`, or `NAME+NAME` together; `all` leaves out the canaries, which run anyway."""
    values = tuple(dict.fromkeys(given))
    if not values:
        return default
    if ALL in values:
        return tuple(FaultSpec(name, {}) for name, fault in FAULTS.items() if not fault.canary)
    return tuple(parse(value) for value in values)


def _in_range(option: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise BadRequest(f"{option} {value} is out of range", f"allowed is {lowest} to {highest}")


__all__ = ["ALL", "PINS", "SYNCS", "Request", "choose", "choose_faults", "choose_filesystems"]

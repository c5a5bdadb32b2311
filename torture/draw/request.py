"""What the user asks for: the options of `torture run` as one frozen, checked value."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torture.dimensions import DIMENSIONS
from torture.errors import BadRequest
from torture.faults import parse
from torture.filesystems import filesystem
from torture.filesystems.words import check_words
from torture.plan import MAX_MEMLOCK_BYTES, MAX_PAGES, MAX_WORKERS, FaultSpec


@dataclass(frozen=True, slots=True)
class Request:
    """Which plans to draw, and what they have in common. BadRequest for numbers out of range."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What each dimension is to have, by its name, as users write it. A dimension left out gets its usual values."""
    mkfs_options: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    seed: int = 0
    count: int = 1
    """Draws for each filesystem and fault; of a pairwise draw, plans."""
    pages: int = 8
    """Pages that each worker owns."""
    workers: int = 2
    """Workers that share each file."""
    memlock_bytes: int = -1
    """RLIMIT_MEMLOCK of the workers, -1 for no limit."""
    control: bool = True
    """Whether the control arm of each pinned plan is run too."""
    canary: bool = True
    """Whether a planted loss for each filesystem comes first."""
    representative: bool = True
    """A few workers that touch every value stand for the product of all pins, access paths and syncs."""
    pairwise: bool = False
    """Plans from the whole space that meet every pair of values early (torture.draw.pairwise), instead of the matrix."""
    plans: tuple[str, ...] = ()
    """Exactly these plans, as JSON; then nothing is drawn."""
    page_bytes: int = mmap.PAGESIZE

    def __post_init__(self) -> None:
        unknown = self.values.keys() - DIMENSIONS.keys()
        if unknown:
            raise BadRequest(f"dimension {', '.join(sorted(unknown))} is unknown", f"known are {', '.join(DIMENSIONS)}")
        whole = {name: self.values.get(name, row.usual) for name, row in DIMENSIONS.items()}
        object.__setattr__(self, "values", whole)
        _in_range("--count", self.count, 1, 1_000_000)
        _in_range("--pages", self.pages, 1, MAX_PAGES)
        _in_range("--workers", self.workers, 1, MAX_WORKERS)
        _in_range("--memlock", self.memlock_bytes, -1, MAX_MEMLOCK_BYTES)
        for name in self["filesystem"]:
            words, places = filesystem(name).words, ("--mkfs-options", "--mount-options")
            check_words(name, words, self.mkfs_options, self.mount_options, places)

    def __getitem__(self, dimension: str) -> tuple[str, ...]:
        return self.values[dimension]

    @property
    def faults(self) -> tuple[FaultSpec, ...]:
        """The faults with their parameters."""
        return tuple(map(parse, self["fault"]))

    def having(self, **values: tuple[str, ...]) -> Request:
        """The request with these values of some dimensions."""
        return replace(self, values={**self.values, **values})


def whole_space() -> Request:
    """Every value of every dimension, but canaries and what most kernels cannot do."""
    return Request({name: row.whole for name, row in DIMENSIONS.items()}, pairwise=True)


def _in_range(option: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise BadRequest(f"{option} {value} is out of range", f"allowed is {lowest} to {highest}")

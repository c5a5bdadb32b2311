"""What the kernel says about a mapped device, parsed from dmsetup's output. Pure.

Positions and lengths are in sectors of 512 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Status:
    """One line of `dmsetup status`, which is about one segment."""

    start_sectors: int
    length_sectors: int
    kind: str
    """The kernel's name of the target."""
    rest: tuple[str, ...]
    """The words of the target itself; flakey, linear, error and zero have none."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """What a thin-pool says (thin-provisioning.rst), in blocks."""

    used_metadata: int
    metadata: int
    """All blocks, used or not."""
    used_data: int
    data: int
    """All blocks, used or not."""
    mode: str
    """One of "rw", "out_of_data_space" and "ro", which a pool without metadata space is too."""

    @property
    def free_data(self) -> int:
        """Blocks that can still be handed out."""
        return self.data - self.used_data


def pool_status(status: Status) -> PoolStatus:
    """From the status of a thin-pool target. ValueError for any other."""
    if status.kind != "thin-pool" or status.rest[0] == "Fail":
        raise ValueError(f"no status of a working thin-pool: {status.kind} {' '.join(status.rest)}")
    _, metadata, data, _, mode, *_ = status.rest
    used_metadata, _, all_metadata = metadata.partition("/")
    used_data, _, all_data = data.partition("/")
    return PoolStatus(int(used_metadata), int(all_metadata), int(used_data), int(all_data), mode)


def parse_status(text: str) -> tuple[Status, ...]:
    """The output of `dmsetup status DEVICE`. ValueError if it is not."""
    return tuple(_status(line) for line in text.splitlines() if line.strip())


def _status(line: str) -> Status:
    start, length, kind, *rest = line.split()
    return Status(int(start), int(length), kind, tuple(rest))

"""Device-mapper tables: what each range of sectors of a device is mapped to. Pure.

Positions and lengths are in sectors of 512 bytes. The text form is that of dmsetup(8): one line per segment,
`START LENGTH TARGET ARGUMENTS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from devicemapper.targets import Target


@dataclass(frozen=True, slots=True)
class Segment:
    """`length_sectors` sectors from `start_sectors` on, mapped to `target`."""

    start_sectors: int
    length_sectors: int
    target: Target

    def __str__(self) -> str:
        return " ".join([str(self.start_sectors), str(self.length_sectors), self.target.kind, *self.target.arguments()])


@dataclass(frozen=True, slots=True)
class Table:
    """Segments that cover the device from sector 0 on without gap or overlap; ValueError otherwise."""

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not self.segments:
            raise ValueError("a table needs a segment")
        end = 0
        for segment in self.segments:
            if segment.start_sectors != end or segment.length_sectors <= 0:
                raise ValueError(f"segment {str(segment)!r} does not continue the table at sector {end}")
            end += segment.length_sectors

    @classmethod
    def single(cls, target: Target, length_sectors: int) -> Self:
        """A table of one segment."""
        return cls((Segment(0, length_sectors, target),))

    def __str__(self) -> str:
        return "\n".join(map(str, self.segments))

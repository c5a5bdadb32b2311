"""What reading a file showed: the records between reader and checker.

Observations of one file come in this order: one Missing, or one Size followed by Span, Page and
Unreadable records that cover the file's pages from 0 on, in order and without gaps. A cold read that is
stored in this form can be judged again offline.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verify.descriptors import opened_kept
from verify.json_lines import Codec
from verify.stamp import SectorView, Span


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is neither zeros nor stamps of one generation, sector by sector."""

    page: int
    sectors: tuple[SectorView, ...]
    raw: bytes
    """Its content, zeros past the end of the file; empty once the reader has kept as many pages as it may."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Pages that read(2) does not give."""

    first_page: int
    pages: int
    errno: int
    """0 if it says that they are past the end of the file."""


@dataclass(frozen=True, slots=True)
class Size:
    """The file's size by fstat(2)."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Missing:
    """The file could not be opened."""

    errno: int


Observation = Span | Page | Unreadable | Size | Missing

_CODEC = Codec[Observation]({"span": Span, "page": Page, "unreadable": Unreadable, "size": Size, "missing": Missing})


def encode(observation: Observation) -> bytes:
    """The observation's line, newline included."""
    return _CODEC.encode(observation)


def decode(line: bytes) -> Observation:
    """The observation of one line. Raises ValueError with the reason if it is none."""
    return _CODEC.decode(line)


class ObservationError(Exception):
    """Observations that break the order or do not cover their file; nothing can be concluded from them."""


def write_observations(path: Path | str, observations: Iterable[Observation]) -> None:
    """Store observations as JSON lines, replacing the file."""
    with open(path, "wb") as lines:
        lines.writelines(map(_CODEC.encode, observations))


def read_observations(path: Path | str) -> Iterator[Observation]:
    """The stored observations, one in memory at a time. Raises ObservationError for a damaged file."""
    with opened_kept(Path(path)) as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _CODEC.decode(line)
            except ValueError as error:
                raise ObservationError(f"{path}, line {number}: {error}") from error

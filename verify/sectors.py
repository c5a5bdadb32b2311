"""Judges the sectors of one page against what each of its bytes may hold.

A sector that shows one content and lies in one piece of allowance is judged by name: its bytes are not looked at.
Otherwise, at the borders of partial stores and where stores were torn, every byte has to come from a content
that is allowed at its place. Names would be too strict there: two generations share most of their header, so
a lost store of a few bytes may have changed nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from verify.history import ZERO, Allowance, Content
from verify.identity import Alien, Damaged, Identity
from verify.observation import Page
from verify.stamp import SECTOR_BYTES

Piece = Allowance[Content]
Sight = Content | Alien | Damaged


class Level(IntEnum):
    """How wrong a sector is, the worst last."""

    FINE = 0
    LATE = 1
    """The latest store is lost, and its sync said so."""
    STALE = 2
    """Zeros or something older, and nobody said so."""
    UNDURABLE = 3
    """Zeros or something older than what a sync vouched for."""
    UNJUDGED = 4
    """Maybe a legal mix: the bytes would tell, but they were not kept."""
    CORRUPT = 5
    """Nothing that was ever written here."""
    ALIEN = 6
    """A valid stamp of another place."""


@dataclass(frozen=True, slots=True)
class Sector:
    """A judged sector: its worst piece of allowance, how wrong that is, and what the sector shows."""

    index: int
    level: Level
    piece: Piece
    sight: Sight


@dataclass(frozen=True, slots=True)
class PageJudge:
    """Judges the pages of one history; `pieces` are adjacent and cover a page."""

    identity: Identity
    pieces: tuple[Piece, ...]

    @property
    def by_name(self) -> bool:
        """Whether a uniform page is always judged by name, so that all pages like it are judged alike."""
        return all(piece.lo % SECTOR_BYTES == 0 for piece in self.pieces)

    def is_page_alike(self, sight: Content | Alien) -> bool:
        """Whether all pages that show `sight` throughout are judged alike though their bytes differ."""
        return isinstance(sight, Alien) or all(sight in piece.allowed for piece in self.pieces)

    def uniform(self, sight: Content | Alien, page: int, limit_bytes: int) -> list[Sector]:
        """The sectors, up to `limit_bytes`, of a page that shows the same throughout."""
        sights = [sight] * -(-limit_bytes // SECTOR_BYTES)
        return list(self._sectors(page, sights, limit_bytes, b""))

    def irregular(self, look: Page, limit_bytes: int) -> list[Sector]:
        """The sectors, up to `limit_bytes`, of a page that was read sector by sector."""
        views = look.sectors[: -(-limit_bytes // SECTOR_BYTES)]
        sights = [self.identity.of_sector(view, look.page, index) for index, view in enumerate(views)]
        return list(self._sectors(look.page, sights, limit_bytes, look.raw))

    def _sectors(self, page: int, sights: Sequence[Sight], limit_bytes: int, raw: bytes) -> Iterator[Sector]:
        bytes_of = cache(lambda content: self.identity.page(content, page))
        for index, sight in enumerate(sights):
            lo, hi = index * SECTOR_BYTES, min((index + 1) * SECTOR_BYTES, limit_bytes)
            pieces = [piece for piece in self.pieces if piece.lo < hi and lo < piece.hi]
            if isinstance(sight, Alien):
                level, piece = Level.ALIEN, max(pieces, key=lambda piece: (piece.acked, piece.touched))
            elif isinstance(sight, Damaged) and not raw:
                level, piece = _without_bytes(pieces, is_whole=hi - lo == SECTOR_BYTES)
            elif isinstance(sight, Content) and len(pieces) == 1:
                level, piece = _by_name(pieces[0], sight), pieces[0]
            else:
                observed = bytes_of(sight) if isinstance(sight, Content) else raw
                level, piece = _by_bytes(pieces, observed, lo, hi, bytes_of)
            yield Sector(index, level, piece, sight)


def _level(piece: Piece, shows: Callable[[frozenset[Content]], bool]) -> Level:
    """How wrong a piece is; `shows` tells whether what is seen there comes from some contents."""
    if shows(piece.allowed):
        return Level.FINE
    if shows(piece.allowed | piece.excused):
        return Level.LATE
    if not shows(piece.known | {ZERO}):
        return Level.CORRUPT
    return Level.UNDURABLE if piece.acked and not shows(piece.durable) else Level.STALE


def _by_name(piece: Piece, content: Content) -> Level:
    return _level(piece, lambda contents: content in contents)


def _without_bytes(pieces: Sequence[Piece], *, is_whole: bool) -> tuple[Level, Piece]:
    """A damaged sector whose bytes were not kept is corrupt if only one whole content is legal there."""
    contents = pieces[0].allowed | pieces[0].excused
    is_certain = is_whole and len(pieces) == 1 and len(contents) == 1
    return (Level.CORRUPT if is_certain else Level.UNJUDGED), pieces[0]


def _by_bytes(
    pieces: Sequence[Piece], observed: bytes, lo: int, hi: int, bytes_of: Callable[[Content], bytes]
) -> tuple[Level, Piece]:
    """The worst level among the pieces of a sector, and its piece."""
    levels = [_piece_by_bytes(piece, observed, max(lo, piece.lo), min(hi, piece.hi), bytes_of) for piece in pieces]
    worst = max(levels)
    return worst, pieces[levels.index(worst)]


def _piece_by_bytes(piece: Piece, observed: bytes, lo: int, hi: int, bytes_of: Callable[[Content], bytes]) -> Level:
    return _level(piece, lambda contents: _is_mix(observed[lo:hi], [bytes_of(content)[lo:hi] for content in contents]))


def _is_mix(observed: bytes, contents: Sequence[bytes]) -> bool:
    """Does every byte come from one of the contents at its place?"""
    if observed in contents:
        return True
    return all(any(content[at] == byte for content in contents) for at, byte in enumerate(observed))

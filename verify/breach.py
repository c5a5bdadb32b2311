"""From judged sectors to the promises that a page breaks, and the facts in words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from verify.finding import FindingKind, Promise
from verify.history import BASE, ZERO, Allowance, Content, Event
from verify.identity import Alien, Damaged
from verify.ledger import Role
from verify.sectors import Level, Piece, Sector, Sight

MIXED_SECTOR = "a mix within a sector"
"""Words for a sector with bytes of several earlier contents. A disk writes whole sectors, so no crash alone does that."""
_OLDER = (Level.LATE, Level.STALE, Level.UNDURABLE)


@dataclass(frozen=True, slots=True)
class Breach:
    """What is wrong with a page; fields as in verify.finding.Finding.

    It does not say where: equal breaches on adjacent pages are one finding.
    """

    kind: FindingKind
    promise: Promise
    writer: int | None
    expected: str
    found: str
    reported: str | None
    sectors: int
    due: int | None = None


def breaches(sectors: Sequence[Sector], role: Role) -> list[Breach]:
    """The breaches of one page, none if all of its sectors are fine. No sector is in two of them."""
    older = [sector for sector in sectors if sector.level in _OLDER]
    wrong = [sector for sector in sectors if sector.level > Level.UNDURABLE]
    return [
        *(_breach(_older_kind(group, sectors, role), group) for group in _groups(older)),
        *(_breach(_wrong_kind(group[0]), group) for group in _groups(wrong)),
    ]


def unreadable(pieces: Sequence[Piece], sectors: int, found: str) -> Breach:
    """The breach of a page that cannot be read."""
    piece = max(pieces, key=lambda piece: (piece.acked, piece.touched))
    expected = in_words(piece.allowed)
    promise = strongest_promise([piece])
    due = piece.vouched or piece.latest
    return Breach("unreadable", promise, _writer(piece), expected, found, _error_of(due), sectors, _position(due))


def of_file(kind: FindingKind, promise: Promise, size: Allowance[int], found: str) -> Breach:
    """The breach of a file that is not there or has a wrong size."""
    expected = " or ".join(f"{size_bytes} bytes" for size_bytes in sorted(size.allowed))
    due = size.vouched or size.latest
    return Breach(kind, promise, None, expected, found, _error_of(due), 0, _position(due))


def strongest_promise(allowances: Iterable[Allowance[Any]]) -> Promise:
    """The strongest promise that was given for any of these."""
    given = [(allowance.acked, allowance.touched) for allowance in allowances]
    acked, touched = max(given, default=(False, False))
    if acked:
        return "sync"
    return "store" if touched else "isolation"


def in_words(contents: Iterable[Content]) -> str:
    """Such as "zeros or generation 2 to 4"."""
    generations = sorted({content.generation for content in contents if content.kind == "store"})
    runs = groupby(enumerate(generations), lambda pair: pair[1] - pair[0])
    words = ["zeros"] * (ZERO in contents) + ["the base"] * (BASE in contents)
    words += [_range_in_words([generation for _, generation in run]) for _, run in runs]
    return " or ".join(words)


def _range_in_words(generations: Sequence[int]) -> str:
    first, last = generations[0], generations[-1]
    return f"generation {first}" if first == last else f"generation {first} to {last}"


def _groups(sectors: Sequence[Sector]) -> Iterator[list[Sector]]:
    """The sectors of each breach: those with the same level, allowance and, unless they are older, content.

    Older sectors stay together whatever they show, because a page whose sectors are of different age is one torn page.
    """
    groups: dict[tuple[object, ...], list[Sector]] = {}
    for sector in sectors:
        shown = None if sector.level in _OLDER else _shown(sector)
        piece = sector.piece
        key = (sector.level, shown, piece.allowed, _error_of(_due(sector)), piece.acked, piece.touched)
        groups.setdefault(key, []).append(sector)
    yield from groups.values()


def _breach(kind: FindingKind, group: Sequence[Sector]) -> Breach:
    piece = group[0].piece
    return Breach(
        kind=kind,
        promise=_promise_of_sector(group[0]),
        writer=_writer(piece),
        expected=in_words(piece.durable if group[0].level == Level.UNDURABLE else piece.allowed),
        found=" or ".join(sorted({_shown(sector) for sector in group})),
        reported=_error_of(_due(group[0])),
        sectors=sum(1 << sector.index for sector in group),
        due=_position(_due(group[0])),
    )


def _due(sector: Sector) -> Event[Content] | None:
    """What should be there: what a sync vouches for if not even that is, else what was accepted last."""
    return sector.piece.vouched if sector.level == Level.UNDURABLE else sector.piece.latest


def _error_of(due: Event[Any] | None) -> str | None:
    return due.reported if due else None


def _position(due: Event[Any] | None) -> int | None:
    return due.began if due else None


def _older_kind(group: Sequence[Sector], page: Sequence[Sector], role: Role) -> FindingKind:
    """Torn if sectors that may hold the same things show different ones."""
    piece = group[0].piece
    if group[0].level == Level.LATE:
        return "late"
    if role == "clone" and not piece.touched:
        return "clone-changed"
    shown = {_shown(sector) for sector in page if sector.level <= Level.UNDURABLE and sector.piece.allowed == piece.allowed}
    return "torn" if len(shown) > 1 or isinstance(group[0].sight, Damaged) else "lost"


def _wrong_kind(sector: Sector) -> FindingKind:
    if isinstance(sector.sight, Alien):
        return sector.sight.kind
    return "unjudged" if sector.level == Level.UNJUDGED else "corrupt"


def _promise_of_sector(sector: Sector) -> Promise:
    if sector.level == Level.LATE:
        return "store"
    if sector.level == Level.STALE:
        return "store" if sector.piece.touched else "isolation"
    return strongest_promise([sector.piece])


def _writer(piece: Piece) -> int | None:
    """Who stored the newest content that is allowed."""
    stores = [content for content in piece.allowed if content.kind == "store"]
    return max(stores, key=lambda content: content.generation).writer if stores else None


def _shown(sector: Sector) -> str:
    sight: Sight = sector.sight
    if isinstance(sight, Content):
        unknown = sector.level == Level.CORRUPT
        return in_words([sight]) + (", which was never written there" if unknown else "")
    if isinstance(sight, Damaged) and sector.level in _OLDER:
        return MIXED_SECTOR
    return sight.found

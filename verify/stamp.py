"""Stamps: the self-describing content of a page, sector by sector.

A page of `page_bytes` is a row of 512-byte sectors, and each sector says by itself what it is, so that
zeros, an older generation, a mix of generations, another page's or file's sector, stale disk content and
bit rot are told apart without any other knowledge. Format version 1, all numbers little endian on every
architecture:

| offset | bytes | field      | meaning                                                               |
|-------:|------:|------------|-----------------------------------------------------------------------|
|      0 |     8 | magic      | `89 74 6f 72 74 75 72 65` ("\\x89torture")                            |
|      8 |     2 | version    | 1                                                                     |
|     10 |     1 | kind       | 1 store, 2 base, 3 foreign                                            |
|     11 |     1 | sector     | index of the sector in its page                                       |
|     12 |     4 | writer     | worker that stored it; 0 in base stamps                               |
|     16 |     8 | run        | id of the run                                                         |
|     24 |     4 | file       | id of the file in the run; 0xffffffff in foreign stamps               |
|     28 |     4 | generation | 1, 2, 3 ... for stores to the page; 0 in base stamps                  |
|     32 |     8 | page       | page index in the file; in foreign stamps the index of the page-sized |
|        |       |            | block on the device or in the ballast                                 |
|     40 |   464 | payload    | 58 words, word i = 5 .. 62 is `seed + i * STEP` modulo 2**64, seed    |
|        |       |            | from words 2, 3, 4 and 1 of the header                                |
|    504 |     8 | checksum   | sum of `word[i] * coefficient[i]` for i = 0 .. 62, modulo 2**64       |

The arithmetic stands, written for reading, in `tests/unit/verify/reference.py`. A sector is a valid stamp only if
payload *and* checksum are those of its header: the checksum alone misses a flipped top bit in an even number of words.

The work is done by the native core (`_stamp.c`) with the GIL released.
"""

from dataclasses import dataclass
from enum import IntEnum
from mmap import mmap
from typing import TypeAlias

from verify import _stamp
from verify.numbers import U32, U64, PageCount, PageIndex

SECTOR_BYTES = 512
"""The unit of disks, of the block layer and of what is judged."""
FORMAT_VERSION = 1
FOREIGN_FILE = 0xFFFF_FFFF
MAX_PAGE_BYTES = 256 * SECTOR_BYTES

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap

_U32 = 0xFFFF_FFFF
_U64 = 0xFFFF_FFFF_FFFF_FFFF


class Kind(IntEnum):
    """What a stamp was made for."""

    STORE = 1
    BASE = 2
    FOREIGN = 3


class Look(IntEnum):
    """What a page looks like as a whole."""

    ZERO = 0
    OWN = 1
    IRREGULAR = 2


class SectorLook(IntEnum):
    """What a sector looks like by itself."""

    ZERO = 0
    STAMP = 1
    BAD_CHECKSUM = 2
    GARBAGE = 3


@dataclass(frozen=True, slots=True)
class Span:
    """Pages in a row that look alike."""

    first_page: PageIndex
    pages: PageCount
    look: Look
    """OWN: every sector of every page is the STORE (generation > 0) or BASE (generation 0) stamp of exactly this run, file,
    page and sector, all of one generation and writer. IRREGULAR spans are one page long."""
    generation: U32
    writer: U32


@dataclass(frozen=True, slots=True)
class SectorView:
    """One sector's look and, if it has the magic, the header it carries. Only a STAMP's fields can be believed."""

    look: SectorLook
    kind: U32
    """A plain number, because a damaged header may hold any."""
    run: U64
    file: U32
    page: U64
    sector: U32
    generation: U32
    writer: U32


def fill(
    buffer: Buffer,
    *,
    run: int,
    file: int,
    first_page: int,
    generation: int,
    writer: int,
    kind: Kind = Kind.STORE,
    page_bytes: int = 4096,
) -> None:
    """Stamp the consecutive pages that make up a writable buffer.

    Raises ValueError for a number out of its field's range, a buffer that is not whole pages, a BASE
    stamp with a generation or writer other than 0, or a STORE stamp of generation 0.
    """
    _check_place(buffer, run, file, first_page, page_bytes)
    _check_origin(kind, generation, writer)
    _stamp.fill(buffer, run, file, first_page, generation, writer, kind, page_bytes)


def page(
    *,
    run: int,
    file: int,
    page: int,
    generation: int,
    writer: int,
    kind: Kind = Kind.STORE,
    page_bytes: int = 4096,
) -> bytes:
    """The content of one stamped page; arguments and errors as for `fill`."""
    content = bytearray(page_bytes)
    fill(
        content,
        run=run,
        file=file,
        first_page=page,
        generation=generation,
        writer=writer,
        kind=kind,
        page_bytes=page_bytes,
    )
    return bytes(content)


def scan(buffer: Buffer, *, run: int, file: int, first_page: int, page_bytes: int = 4096) -> list[Span]:
    """What the consecutive pages in a buffer look like, seen from `file` of `run`: adjacent spans, in order.

    Raises ValueError for a number out of its field's range or a buffer that is not whole pages.
    """
    _check_place(buffer, run, file, first_page, page_bytes)
    return [
        Span(first, pages, Look(look), generation, writer)
        for first, pages, look, generation, writer in _stamp.scan(buffer, run, file, first_page, page_bytes)
    ]


def classify(sector_bytes: Buffer) -> SectorView:
    """What one sector is, by its own account. Raises ValueError unless it is 512 bytes long."""
    look, *header = _stamp.classify(sector_bytes)
    return SectorView(SectorLook(look), *header)


def is_foreign(sector_bytes: Buffer) -> bool:
    """Whether a sector is a valid stamp of kind FOREIGN."""
    view = classify(sector_bytes)
    return view.look is SectorLook.STAMP and view.kind == Kind.FOREIGN


def _check_place(buffer: Buffer, run: int, file: int, first_page: int, page_bytes: int) -> None:
    if page_bytes <= 0 or page_bytes % SECTOR_BYTES or page_bytes > MAX_PAGE_BYTES:
        raise ValueError(f"page_bytes {page_bytes} is not a multiple of {SECTOR_BYTES} up to {MAX_PAGE_BYTES}")
    with memoryview(buffer) as view:
        length_bytes = view.nbytes
    if length_bytes % page_bytes:
        raise ValueError(f"{length_bytes} bytes are not whole pages of {page_bytes}")
    _check_range("run", run, _U64)
    _check_range("file", file, _U32)
    _check_range("page", first_page, _U64 - length_bytes // page_bytes)


def _check_origin(kind: Kind, generation: int, writer: int) -> None:
    _check_range("generation", generation, _U32)
    _check_range("writer", writer, _U32)
    if kind == Kind.BASE and (generation or writer):
        raise ValueError(f"a base stamp has generation 0 and writer 0, not {generation} and {writer}")
    if kind == Kind.STORE and not generation:
        raise ValueError("generations of stores count from 1")


def _check_range(field: str, value: int, highest: int) -> None:
    if not 0 <= value <= highest:
        raise ValueError(f"{field} {value} is outside 0..{highest}")

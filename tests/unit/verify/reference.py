"""The stamp format in plain Python: slow, obvious, and what the native core is held against.

Readers of a strange dump may need it too. It shares no code with the native core.
"""

from struct import pack, unpack_from

from verify.stamp import FORMAT_VERSION, SECTOR_BYTES, Kind, Look, SectorLook, SectorView, Span

MAGIC = b"\x89torture"
STEP = 0x9E3779B97F4A7C15
MULTIPLIER = 0xD6E8FEB86659FD93
HEADER = "<8sHBBIQIIQ"

_MODULUS = 2**64


def mix(x: int) -> int:
    """A bijection of 64-bit words that spreads every bit over most others."""
    x ^= x >> 32
    x = x * MULTIPLIER % _MODULUS
    return x ^ (x >> 29)


def seed(header_words: tuple[int, ...]) -> int:
    """Where the payload starts: words 2, 3, 4 and 1 of the header, folded one after the other."""
    result = 0
    for word in (*header_words[2:], header_words[1]):
        result = mix(((result + STEP) % _MODULUS) ^ word)
    return result


def payload(start: int, index: int) -> int:
    """Payload word at index 5 to 62 of a sector whose header has this seed."""
    return (start + index * STEP) % _MODULUS


def coefficient(index: int) -> int:
    """The odd number that word `index` is multiplied by in the checksum."""
    return mix(mix((index + 1) * STEP % _MODULUS)) | 1


def checksum(words: tuple[int, ...]) -> int:
    """The last word of a sector, from the 63 before it."""
    return sum(word * coefficient(index) for index, word in enumerate(words)) % _MODULUS


def sector(*, run: int, file: int, page: int, sector: int, generation: int, writer: int, kind: int) -> bytes:
    """The 512 bytes of one stamped sector."""
    header = pack(HEADER, MAGIC, FORMAT_VERSION, kind, sector, writer, run, file, generation, page)
    words = unpack_from("<5Q", header)
    words += tuple(payload(seed(words), index) for index in range(5, 63))
    return pack("<64Q", *words, checksum(words))


def page(*, run: int, file: int, page: int, generation: int, writer: int, kind: int = Kind.STORE, page_bytes: int) -> bytes:
    """The content of one stamped page."""
    return b"".join(
        sector(run=run, file=file, page=page, sector=index, generation=generation, writer=writer, kind=kind)
        for index in range(page_bytes // SECTOR_BYTES)
    )


def classify(content: bytes) -> SectorView:
    """What one sector is, by its own account."""
    if not any(content):
        return SectorView(SectorLook.ZERO, 0, 0, 0, 0, 0, 0, 0)
    magic, version, kind, index, writer, run, file, generation, page = unpack_from(HEADER, content)
    if magic != MAGIC:
        return SectorView(SectorLook.GARBAGE, 0, 0, 0, 0, 0, 0, 0)
    known = version == FORMAT_VERSION and kind in set(Kind)
    good = known and content == sector(
        run=run, file=file, page=page, sector=index, generation=generation, writer=writer, kind=kind
    )
    look = SectorLook.STAMP if good else SectorLook.BAD_CHECKSUM
    return SectorView(look, kind, run, file, page, index, generation, writer)


def look_at_page(content: bytes, *, run: int, file: int, page: int) -> Span:
    """The span, one page long, that a page makes."""
    if not any(content):
        return Span(page, 1, Look.ZERO, 0, 0)
    views = [classify(content[at : at + SECTOR_BYTES]) for at in range(0, len(content), SECTOR_BYTES)]
    first = views[0]
    for index, view in enumerate(views):
        place = (view.look, view.run, view.file, view.page, view.sector)
        if place != (SectorLook.STAMP, run, file, page, index):
            return Span(page, 1, Look.IRREGULAR, 0, 0)
        if (view.kind, view.generation, view.writer) != (first.kind, first.generation, first.writer):
            return Span(page, 1, Look.IRREGULAR, 0, 0)
    is_own = first.kind == (Kind.STORE if first.generation else Kind.BASE)
    if not is_own:
        return Span(page, 1, Look.IRREGULAR, 0, 0)
    return Span(page, 1, Look.OWN, first.generation, first.writer)


def scan(buffer: bytes, *, run: int, file: int, first_page: int, page_bytes: int) -> list[Span]:
    """What the consecutive pages in a buffer look like, adjacent likes merged."""
    spans: list[Span] = []
    for offset in range(0, len(buffer), page_bytes):
        page = first_page + offset // page_bytes
        found = look_at_page(buffer[offset : offset + page_bytes], run=run, file=file, page=page)
        if spans and found.look != Look.IRREGULAR and _alike(spans[-1], found):
            found = Span(spans[-1].first_page, spans.pop().pages + 1, found.look, found.generation, found.writer)
        spans.append(found)
    return spans


def _alike(one: Span, other: Span) -> bool:
    return (one.look, one.generation, one.writer) == (other.look, other.generation, other.writer)

"""Stamps: the native core agrees with the plain reference, and every kind of damage shows."""

import sys
from collections.abc import Callable, Iterator
from threading import Thread
from time import monotonic
from typing import Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.verify import reference
from verify import stamp
from verify.stamp import Kind, Look, SectorLook, Span

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
PAGE_BYTES = st.sampled_from([512, 1024, 4096])
GOLDEN = (
    "89746f7274757265"  # magic
    "01000102"  # version 1, kind 1, sector 2
    "05000000"  # writer 5
    "efcdab8967452301"  # run
    "0300000007000000"  # file 3, generation 7
    "2a00000000000000"  # page 42
)


class Origin(TypedDict):
    kind: Kind
    generation: int
    writer: int


class Place(TypedDict):
    run: int
    file: int
    first_page: int


@st.composite
def origins(draw: st.DrawFn) -> Origin:
    """Kind, generation and writer that go together."""
    kind = draw(st.sampled_from(Kind))
    if kind == Kind.BASE:
        return {"kind": kind, "generation": 0, "writer": 0}
    return {"kind": kind, "generation": draw(st.integers(1, 2**32 - 1)), "writer": draw(U32)}


@settings(max_examples=60, deadline=None)
@given(
    run=U64,
    file=U32,
    page=st.integers(0, 2**64 - 9),
    origin=origins(),
    pages=st.integers(0, 3),
    page_bytes=PAGE_BYTES,
)
def test_fill_makes_the_bytes_of_the_reference(
    run: int, file: int, page: int, origin: Origin, pages: int, page_bytes: int
) -> None:
    content = bytearray(pages * page_bytes)
    stamp.fill(content, run=run, file=file, first_page=page, page_bytes=page_bytes, **origin)
    expected = [reference.page(run=run, file=file, page=page + i, page_bytes=page_bytes, **origin) for i in range(pages)]
    assert content == b"".join(expected)


def test_the_format_does_not_change_unnoticed() -> None:
    """Stored runs must stay readable: a change of these bytes needs another FORMAT_VERSION."""
    page = stamp.page(run=0x0123456789ABCDEF, file=3, page=42, generation=7, writer=5)
    assert page[1024:].startswith(bytes.fromhex(GOLDEN))
    assert page[1064:1072].hex() == "a2d9d791f3990ef8"
    assert page[1528:1536].hex() == "97e769d7ebfed19a"


@st.composite
def sectors(draw: st.DrawFn, run: int, file: int, page: int, index: int) -> bytes:
    """A sector of a page: its own, another's, zeros, or damaged."""
    how = draw(st.sampled_from(["own", "own", "other", "zeros", "noise", "damaged"]))
    if how == "zeros":
        return bytes(512)
    if how == "noise":
        return draw(st.binary(min_size=512, max_size=512))
    if how != "own":
        run, file, page, index = (value + draw(st.integers(0, 1)) for value in (run, file, page, index))
    origin = draw(st.sampled_from([(1, 1, 1), (1, 2, 1), (2, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 0), (1, 1, 2)]))
    content = bytearray(
        reference.sector(
            run=run,
            file=file,
            page=page,
            sector=index,
            kind=origin[0],
            generation=origin[1],
            writer=origin[2],
        )
    )
    if how == "damaged":
        content[draw(st.integers(0, 511))] ^= draw(st.integers(1, 255))
    return bytes(content)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), page_bytes=PAGE_BYTES)
def test_scan_and_classify_see_what_the_reference_sees(data: st.DataObject, page_bytes: int) -> None:
    run, file, first = 11, 2, 7
    content = b""
    for page in range(data.draw(st.integers(0, 4))):
        if data.draw(st.booleans()):
            sector = st.sampled_from([(1, 1, 1), (1, 2, 1), (2, 0, 0)])
            kind, generation, writer = data.draw(sector)
            content += reference.page(
                run=run,
                file=file,
                page=first + page,
                kind=kind,
                generation=generation,
                writer=writer,
                page_bytes=page_bytes,
            )
        else:
            parts = [data.draw(sectors(run, file, first + page, i)) for i in range(page_bytes // 512)]
            content += b"".join(parts)
    arguments = {"run": run, "file": file, "first_page": first, "page_bytes": page_bytes}
    assert stamp.scan(content, **arguments) == reference.scan(content, **arguments)
    for at in range(0, len(content), 512):
        assert stamp.classify(content[at : at + 512]) == reference.classify(content[at : at + 512])


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 511), flip=st.integers(1, 255))
def test_every_flipped_byte_is_seen(at: int, flip: int) -> None:
    content = bytearray(stamp.page(run=1, file=2, page=3, generation=4, writer=5))
    content[512 + at] ^= flip
    assert stamp.scan(content, run=1, file=2, first_page=3)[0].look == Look.IRREGULAR
    assert stamp.classify(content[512:1024]).look == (SectorLook.GARBAGE if at < 8 else SectorLook.BAD_CHECKSUM)


def test_flips_that_cancel_in_the_checksum_are_seen() -> None:
    """Top bits of two words: their sum is a multiple of 2**64, so only the payload gives them away."""
    content = bytearray(stamp.page(run=1, file=2, page=3, generation=4, writer=5))
    content[8 * 20 + 7] ^= 0x80
    content[8 * 30 + 7] ^= 0x80
    assert stamp.classify(content[:512]).look == SectorLook.BAD_CHECKSUM
    assert stamp.scan(content, run=1, file=2, first_page=3)[0].look == Look.IRREGULAR


def test_a_stamp_says_where_it_belongs() -> None:
    content = stamp.page(run=1, file=2, page=3, generation=4, writer=5)
    view = stamp.classify(content[1024:1536])
    assert (view.kind, view.run, view.file, view.page, view.sector) == (Kind.STORE, 1, 2, 3, 2)
    assert (view.generation, view.writer) == (4, 5)


def test_another_place_is_not_own() -> None:
    content = stamp.page(run=1, file=2, page=3, generation=4, writer=5)
    own = {"run": 1, "file": 2, "first_page": 3}
    assert stamp.scan(content, **own) == [Span(3, 1, Look.OWN, 4, 5)]
    for field in own:
        assert stamp.scan(content, **{**own, field: 9})[0].look == Look.IRREGULAR


def test_adjacent_likes_are_one_span_and_irregular_pages_are_single() -> None:
    content = bytearray(6 * 4096)
    stamp.fill(memoryview(content)[4096 : 3 * 4096], run=1, file=1, first_page=1, generation=1, writer=1)
    content[3 * 4096] = content[4 * 4096] = 1
    assert [(span.first_page, span.pages, span.look) for span in stamp.scan(content, run=1, file=1, first_page=0)] == [
        (0, 1, Look.ZERO),
        (1, 2, Look.OWN),
        (3, 1, Look.IRREGULAR),
        (4, 1, Look.IRREGULAR),
        (5, 1, Look.ZERO),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"run": 2**64},
        {"run": -1},
        {"file": 2**32},
        {"generation": 2**32},
        {"generation": 0},
        {"writer": -1},
        {"first_page": 2**64 - 1},
        {"page_bytes": 0},
        {"page_bytes": 1000},
        {"page_bytes": 8192},
        {"page_bytes": 512 * 257},
        {"kind": Kind.BASE},
    ],
)
def test_fill_refuses_what_does_not_fit(wrong: dict[str, Any]) -> None:
    arguments = {"run": 1, "file": 1, "first_page": 0, "generation": 1, "writer": 1}
    with pytest.raises(ValueError):
        stamp.fill(bytearray(4096), **{**arguments, **wrong})


def test_classify_takes_one_sector_only() -> None:
    with pytest.raises(ValueError, match="512"):
        stamp.classify(bytes(1024))


def test_fill_needs_a_writable_buffer() -> None:
    with pytest.raises((TypeError, BufferError)):
        stamp.fill(bytes(4096), run=1, file=1, first_page=0, generation=1, writer=1)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads ask for the GIL every tenth of a millisecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def turns_while(work: Callable[[], object]) -> list[float]:
    """When this thread ran while another one did the work: 0 at its beginning, 1 at its end."""
    inside: list[float] = []

    def timed() -> None:
        inside.append(monotonic())
        work()
        inside.append(monotonic())

    thread = Thread(target=timed)
    thread.start()
    turns = []
    while thread.is_alive():
        turns.append(monotonic())
    began, ended = inside
    return [(turn - began) / (ended - began) for turn in turns]


@pytest.mark.parametrize("call", ["fill", "scan"])
def test_other_threads_run_in_the_middle_of_the_work(call: str, eager_threads: None) -> None:
    """The GIL is released. A busy machine may keep this thread from running, hence several attempts."""
    content = bytearray(64 << 20)
    place: Place = {"run": 1, "file": 1, "first_page": 0}
    stamp.fill(content, generation=1, writer=1, **place)
    works = {
        "fill": lambda: stamp.fill(content, generation=1, writer=1, **place),
        "scan": lambda: stamp.scan(content, **place),
    }
    assert any(any(0.4 < turn < 0.6 for turn in turns_while(works[call])) for _ in range(5))

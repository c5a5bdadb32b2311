"""Does with this tool's own parts what fio does: stamps into a mapping of a file, then reads and checks it.

As in fio, the file's space is allocated, or the file written, before the clock starts; the faults of the mapping are in
the time, and so is pinning it. Checking is timed twice: through a new mapping of the file, which is what fio's mmap
engine does, and with verify.reader, which is what a trial does and costs a copy of every byte.
"""

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks.fio import GIGABYTE, Rates
from verify import stamp
from verify.observation import Size
from verify.reader import CHUNK_BYTES, observe_file
from verify.stamp import Look, Span
from workloads import libc
from workloads.access import ACCESSES
from workloads.mapped_file import MappedFile
from workloads.operations import BATCH_PAGES
from workloads.pins import PINS

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RUN, FILE, WRITER, GENERATION = 1, 1, 1, 1
CHECK_WINDOW_BYTES = 16 << 20
STORE_WINDOW_PAGES = 64


class WrongContent(Exception):
    """What was stamped was not what the reader found: `found` is what it saw."""

    def __init__(self, found: object) -> None:
        super().__init__(f"the file does not hold its stamps: {found}")
        self.found = found


@dataclass(frozen=True, slots=True)
class OwnRates(Rates):
    """`check_gb_s` is through a mapping, as fio's is; `reader_gb_s` is checking with the tool's own reader."""

    reader_gb_s: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Seconds of the parts that storing and checking one file consist of, each done alone."""

    fault_s: float
    stamp_s: float
    populate_s: float
    scan_mapping_s: float
    read_s: float
    scan_s: float


def measure(path: Path, size_bytes: int, pin: str, *, written: bool, window_pages: int = 0) -> OwnRates:
    """Stamp a new file through a mapping pinned in the given way, then check it.

    With `window_pages` so many pages at a time are populated for writing just before they are stored to, which no
    pin of the tool does. Raises OSError if the pin is refused, for instance by RLIMIT_MEMLOCK.
    """
    with _new_file(path, size_bytes, written=written) as mapped:
        begin = perf_counter()
        failed = PINS[pin].pin(mapped)
        _store(mapped, window_pages)
        stored_s = perf_counter() - begin
    if failed:
        raise OSError(failed, os.strerror(failed), f"{pin} of {size_bytes} bytes")
    checked_s = _timed(lambda: _check_mapping(path, size_bytes))
    read_s = _timed(lambda: _check_reader(path, size_bytes))
    path.unlink()
    return OwnRates(*(size_bytes / seconds / GIGABYTE for seconds in (stored_s, checked_s, read_s)))


def break_down(path: Path, size_bytes: int) -> Breakdown:
    """Where the time of `measure` goes on a file that is not `written`, when nothing is pinned."""
    with _new_file(path, size_bytes, written=False) as mapped:
        mapped.map()
        fault_s = _timed(lambda: _touch(mapped))
        stamp_s = _timed(lambda: _stamp_batches(mapped.pages))
        _store(mapped)
    populate_s, scan_mapping_s = _break_down_mapping(path, size_bytes)
    read_s, scan_s = _break_down_reader(path, size_bytes)
    path.unlink()
    return Breakdown(fault_s, stamp_s, populate_s, scan_mapping_s, read_s, scan_s)


def _break_down_mapping(path: Path, size_bytes: int) -> tuple[float, float]:
    """Seconds to populate a mapping of the stamped file, and to scan it where it is populated."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), size_bytes, prot=mmap.PROT_READ) as mapping:
        populate_s = _timed(lambda: [_populate(mapping, offset) for offset in range(0, size_bytes, CHECK_WINDOW_BYTES)])
        return populate_s, _timed(lambda: _scan(mapping, 0))


def _break_down_reader(path: Path, size_bytes: int) -> tuple[float, float]:
    """Seconds to read the file chunk by chunk, and to scan as many bytes that stay in the processor's cache."""
    content = bytearray(CHUNK_BYTES)
    chunks = range(0, size_bytes, CHUNK_BYTES)
    with path.open("rb") as file:
        read_s = _timed(lambda: [os.preadv(file.fileno(), [content], offset) for offset in chunks])
    _fill(memoryview(content), 0)
    return read_s, _timed(lambda: [_scan(content, 0) for _ in chunks])


def _new_file(path: Path, size_bytes: int, *, written: bool) -> MappedFile:
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        if written:
            block = bytes(CHUNK_BYTES)
            file.writelines(block for _ in range(0, size_bytes, CHUNK_BYTES))
        else:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
    return MappedFile(path, file=FILE, first_page=0, pages=size_bytes // PAGE_BYTES, page_bytes=PAGE_BYTES)


def _store(mapped: MappedFile, window_pages: int = 0) -> None:
    """What a worker does for one store of all its pages (workloads.operations), less the ledger."""
    access = ACCESSES["store"](mapped)
    batch_pages = window_pages or BATCH_PAGES
    content = memoryview(bytearray(batch_pages * PAGE_BYTES))
    for first_page in range(0, mapped.pages, batch_pages):
        pages = min(batch_pages, mapped.pages - first_page)
        if window_pages:
            libc.madvise(mapped.page_address(first_page), pages * PAGE_BYTES, libc.MADV_POPULATE_WRITE)
        batch = content[: pages * PAGE_BYTES]
        _fill(batch, first_page)
        faults = access.store(first_page, pages, batch)
        if faults:
            raise WrongContent(faults)


def _check_mapping(path: Path, size_bytes: int) -> None:
    """Window by window through a new mapping, its pages mapped by MADV_POPULATE_READ (Linux 5.14), not by faults."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), size_bytes, prot=mmap.PROT_READ) as mapping:
        for offset in range(0, size_bytes, CHECK_WINDOW_BYTES):
            length_bytes = _populate(mapping, offset)
            with memoryview(mapping) as whole, whole[offset : offset + length_bytes] as window:
                found = _scan(window, offset // PAGE_BYTES)
            if found != [_stamped(offset, length_bytes)]:
                raise WrongContent(found)


def _check_reader(path: Path, size_bytes: int) -> None:
    seen = list(observe_file(path, run=RUN, content_file=FILE, page_bytes=PAGE_BYTES))
    if seen != [Size(size_bytes), _stamped(0, size_bytes)]:
        raise WrongContent(seen)


def _populate(mapping: mmap.mmap, offset: int) -> int:
    """Returns how many bytes the window at `offset` has."""
    length_bytes = min(CHECK_WINDOW_BYTES, len(mapping) - offset)
    mapping.madvise(libc.MADV_POPULATE_READ, offset, length_bytes)
    return length_bytes


def _stamped(offset: int, length_bytes: int) -> Span:
    return Span(offset // PAGE_BYTES, length_bytes // PAGE_BYTES, Look.OWN, GENERATION, WRITER)


def _fill(content: memoryview, first_page: int) -> None:
    stamp.fill(
        content,
        run=RUN,
        file=FILE,
        first_page=first_page,
        generation=GENERATION,
        writer=WRITER,
        page_bytes=PAGE_BYTES,
    )


def _scan(content: stamp.Buffer, first_page: int) -> list[Span]:
    return stamp.scan(content, run=RUN, file=FILE, first_page=first_page, page_bytes=PAGE_BYTES)


def _touch(mapped: MappedFile) -> None:
    """One byte into every page: all of the faults and next to nothing else."""
    view = mapped.view
    view[::PAGE_BYTES] = bytes(mapped.pages)


def _stamp_batches(pages: int) -> None:
    content = memoryview(bytearray(BATCH_PAGES * PAGE_BYTES))
    for first_page in range(0, pages, BATCH_PAGES):
        _fill(content, first_page)


def _timed(act: Callable[[], object]) -> float:
    begin = perf_counter()
    act()
    return perf_counter() - begin

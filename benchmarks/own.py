"""Does with this tool's own parts what fio does: stamps into a mapping of a file, then reads and checks it.

As in fio, the file's space is allocated, or the file written, before the clock starts; the faults of the mapping are in
the time, and so is pinning it.
"""

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
from workloads.access import ACCESSES
from workloads.mapped_file import MappedFile
from workloads.operations import BATCH_PAGES
from workloads.pins import PINS

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RUN, FILE, WRITER, GENERATION = 1, 1, 1, 1


class WrongContent(Exception):
    """What was stamped was not what the reader found: `found` is what it saw."""

    def __init__(self, found: object) -> None:
        super().__init__(f"the file does not hold its stamps: {found}")
        self.found = found


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Seconds of the parts that storing and checking one file consist of, each done alone."""

    fault_s: float
    stamp_s: float
    read_s: float
    scan_s: float


def measure(path: Path, size_bytes: int, pin: str, *, written: bool) -> Rates:
    """Stamp a new file through a mapping pinned in the given way, then check it.

    Raises OSError if the pin is refused, for instance by RLIMIT_MEMLOCK.
    """
    with _new_file(path, size_bytes, written=written) as mapped:
        begin = perf_counter()
        failed = PINS[pin].pin(mapped)
        _store(mapped)
        stored_s = perf_counter() - begin
    if failed:
        raise OSError(failed, os.strerror(failed), f"{pin} of {size_bytes} bytes")
    begin = perf_counter()
    seen = list(observe_file(path, run=RUN, content_file=FILE, page_bytes=PAGE_BYTES))
    checked_s = perf_counter() - begin
    path.unlink()
    if seen != [Size(size_bytes), Span(0, size_bytes // PAGE_BYTES, Look.OWN, GENERATION, WRITER)]:
        raise WrongContent(seen)
    return Rates(size_bytes / stored_s / GIGABYTE, size_bytes / checked_s / GIGABYTE)


def break_down(path: Path, size_bytes: int) -> Breakdown:
    """Where the time of `measure` goes on a file that is not `written`, when nothing is pinned."""
    with _new_file(path, size_bytes, written=False) as mapped:
        mapped.map()
        fault_s = _timed(lambda: _touch(mapped))
        stamp_s = _timed(lambda: _stamp_batches(mapped.pages))
        content = bytearray(CHUNK_BYTES)
        chunks = range(0, size_bytes, CHUNK_BYTES)
        read_s = _timed(lambda: [os.preadv(mapped.descriptor, [content], offset) for offset in chunks])
        _fill(memoryview(content), 0)
        scan_s = _timed(lambda: [_scan(content) for _ in chunks])
    path.unlink()
    return Breakdown(fault_s, stamp_s, read_s, scan_s)


def _new_file(path: Path, size_bytes: int, *, written: bool) -> MappedFile:
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        if written:
            block = bytes(CHUNK_BYTES)
            file.writelines(block for _ in range(0, size_bytes, CHUNK_BYTES))
        else:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
    return MappedFile(path, file=FILE, first_page=0, pages=size_bytes // PAGE_BYTES, page_bytes=PAGE_BYTES)


def _store(mapped: MappedFile) -> None:
    """What a worker does for one store of all its pages (workloads.operations), less the ledger."""
    access = ACCESSES["store"](mapped)
    content = memoryview(bytearray(BATCH_PAGES * PAGE_BYTES))
    for first_page in range(0, mapped.pages, BATCH_PAGES):
        pages = min(BATCH_PAGES, mapped.pages - first_page)
        batch = content[: pages * PAGE_BYTES]
        _fill(batch, first_page)
        faults = access.store(first_page, pages, batch)
        if faults:
            raise WrongContent(faults)


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


def _scan(content: bytearray) -> list[Span]:
    return stamp.scan(content, run=RUN, file=FILE, first_page=0, page_bytes=PAGE_BYTES)


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

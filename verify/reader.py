"""Reads a file under test and says what it shows: the only place where verify touches the filesystem.

Memory does not grow with the file: one buffer of 1 MiB, one span under construction. What the filesystem
does wrong (refuses to open, to read, or ends early) is an observation, never an exception.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from mmap import mmap
from pathlib import Path

from verify.descriptors import open_regular
from verify.observation import Missing, Observation, Page, Size, Unreadable
from verify.stamp import SECTOR_BYTES, Look, Span, classify, scan

CHUNK_BYTES = 1 << 20


def observe_file(
    path: Path | str,
    *,
    run: int,
    content_file: int,
    page_bytes: int,
    raw_limit_pages: int = 4096,
    direct: bool = False,
    beneath: Path | None = None,
) -> Iterator[Observation]:
    """What reading the file shows, seen from `content_file` of `run`, in the order of verify.observation.

    Only a regular file is read: of a directory the errno is EISDIR, of anything else ENXIO, of a symbolic link ELOOP. With
    `beneath`, a directory, `path` is relative to it, and no part of it may be a link (ENOTDIR) or lead out (EXDEV): what
    somebody else wrote there shows no file of this machine.
    At most `raw_limit_pages` irregular pages carry their raw content. `direct` reads with O_DIRECT, past
    the page cache. Raises OSError with EINVAL if the filesystem or the page size cannot do that.
    """
    try:
        descriptor = _opened(Path(path), beneath, os.O_DIRECT if direct else 0)
    except OSError as error:
        yield Missing(_observed_errno(error))
        return
    try:
        size_bytes = os.fstat(descriptor).st_size
        yield Size(size_bytes)
        looks = _look(descriptor, size_bytes, run, content_file, page_bytes)
        yield from _limit_raw(_merge(looks), raw_limit_pages)
    finally:
        os.close(descriptor)


def _opened(path: Path, beneath: Path | None, flags: int) -> int:
    with ExitStack() as held:
        directory = None
        if beneath is not None:
            if path.is_absolute() or ".." in path.parts:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            for part in (beneath, *map(Path, path.parts[:-1])):
                directory = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
                held.callback(os.close, directory)
            path = Path(path.name)
        return open_regular(path, flags | os.O_NOFOLLOW, dir_fd=directory)


def _observed_errno(error: OSError) -> int:
    """The errno that is an observation. EINVAL is our own doing, a wrong request, and is raised."""
    if error.errno is None or error.errno == errno.EINVAL:
        raise error
    return error.errno


def _look(
    descriptor: int, size_bytes: int, run: int, content_file: int, page_bytes: int
) -> Iterator[Span | Page | Unreadable]:
    """Chunk by chunk through one page-aligned buffer; irregular pages come sector by sector."""
    chunk_bytes = max(CHUNK_BYTES - CHUNK_BYTES % page_bytes, page_bytes)
    buffer = memoryview(mmap(-1, chunk_bytes))
    for offset in range(0, size_bytes, chunk_bytes):
        length_bytes = min(chunk_bytes, size_bytes - offset)
        for first_page, content in _read(descriptor, buffer, offset, length_bytes, page_bytes):
            if isinstance(content, int):
                yield Unreadable(first_page, 1, content)
                continue
            spans = scan(content, run=run, file=content_file, first_page=first_page, page_bytes=page_bytes)
            for span in spans:
                if span.look == Look.IRREGULAR:
                    at = (span.first_page - first_page) * page_bytes
                    yield _page(span.first_page, content[at : at + page_bytes])
                else:
                    yield span


def _read(
    descriptor: int, buffer: memoryview, offset: int, length_bytes: int, page_bytes: int
) -> Iterator[tuple[int, memoryview | int]]:
    """First page and content, zero padded to whole pages, or errno of what can be read at once.

    That is the whole chunk, or, where it is not readable as a whole, page after page.
    """
    content = buffer[: -(-length_bytes // page_bytes) * page_bytes]
    failure = _fill(descriptor, content, offset, length_bytes)
    if failure is None:
        yield offset // page_bytes, content
        return
    for at in range(0, length_bytes, page_bytes):
        page = content[at : at + page_bytes]
        failure = _fill(descriptor, page, offset + at, min(page_bytes, length_bytes - at))
        yield (offset + at) // page_bytes, page if failure is None else failure


def _fill(descriptor: int, content: memoryview, offset: int, length_bytes: int) -> int | None:
    """Read `length_bytes`, which the file has, and pad with zeros; else the errno, 0 for an early end of
    file.

    The read asks for the padding too, as O_DIRECT wants whole blocks.
    """
    got = 0
    while got < length_bytes:
        try:
            step = os.preadv(descriptor, [content[got:]], offset + got)
        except OSError as error:
            return _observed_errno(error)
        if not step:
            return 0
        got += step
    content[length_bytes:] = bytes(len(content) - length_bytes)
    return None


def _page(page: int, content: memoryview) -> Page:
    sectors = (content[at : at + SECTOR_BYTES] for at in range(0, len(content), SECTOR_BYTES))
    return Page(page, tuple(map(classify, sectors)), bytes(content))


def _merge(looks: Iterable[Span | Page | Unreadable]) -> Iterator[Span | Page | Unreadable]:
    """Adjacent likes become one."""
    last: Span | Page | Unreadable | None = None
    for look in looks:
        if last is None:
            last = look
        elif isinstance(last, Page) or isinstance(look, Page) or not _continues(last, look):
            yield last
            last = look
        else:
            last = replace(last, pages=last.pages + look.pages)
    if last is not None:
        yield last


def _continues(last: Span | Unreadable, look: Span | Unreadable) -> bool:
    return replace(last, first_page=look.first_page, pages=look.pages) == look


def _limit_raw(looks: Iterable[Span | Page | Unreadable], limit_pages: int) -> Iterator[Observation]:
    kept = 0
    for look in looks:
        if isinstance(look, Page):
            kept += 1
            look = look if kept <= limit_pages else replace(look, raw=b"")
        yield look

"""Layouts: what lies under the pages of a file before anybody maps it. One row of `LAYOUTS` each, by name.

`create` makes a file, syncs it and describes it as ledger records. Anything a layout brings along, such
as the clone of a reflinked file, is a file with its own record, which the checker then watches too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from verify import stamp
from verify.ledger import Base, File
from workloads import libc
from workloads.unsupported import Unsupported, refusable

__all__ = ["CLONE_ID_OFFSET", "LAYOUTS", "Site", "Unsupported", "create"]

CLONE_ID_OFFSET = 1000
BATCH_PAGES = 256
# Every worker's user must be able to write to the files, only root to the clones.
TARGET_MODE = 0o666
CLONE_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layout builds its file, and whose stamps go into it."""

    path: Path
    file: int
    pages: int
    page_bytes: int
    run: int

    @property
    def size_bytes(self) -> int:
        return self.pages * self.page_bytes

    def record(self, layout: str, base: tuple[Base, ...]) -> File:
        """The target's ledger record."""
        return File(self.file, self.path.name, self.size_bytes, layout, "target", self.file, base)


def create(
    layout: str, directory: Path, name: str, *, file: int, pages: int, page_bytes: int, run: int
) -> tuple[File, ...]:
    """Make file `name` of `pages` pages in a directory and sync both; the target's record comes first.

    A clone gets the id `file` + CLONE_ID_OFFSET. Raises Unsupported, leaving nothing behind, when the
    filesystem refuses the layout, and OSError when it fails otherwise.
    """
    site = Site(directory / name, file, pages, page_bytes, run)
    records = LAYOUTS[layout](site)
    with _opened(directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)
    return records


def _hole(site: Site) -> tuple[File, ...]:
    with _new_target(site) as descriptor:
        os.ftruncate(descriptor, site.size_bytes)
    return (site.record("hole", (Base(0, site.pages, "zero"),)),)


def _unwritten(site: Site) -> tuple[File, ...]:
    with _new_target(site) as descriptor, refusable("unwritten", site.path):
        libc.fallocate(descriptor, 0, 0, site.size_bytes)
    return (site.record("unwritten", (Base(0, site.pages, "zero"),)),)


def _written(site: Site) -> tuple[File, ...]:
    return (_stamped(site, "written"),)


def _reflinked(site: Site) -> tuple[File, ...]:
    target = _stamped(site, "reflinked")
    clone = site.path.with_name(site.path.name + ".clone")
    with _opened(site.path, os.O_RDONLY) as source, _new_file(clone, CLONE_MODE) as descriptor:  # noqa: SIM117
        with refusable("reflinked", site.path, clone):
            libc.clone_file(source, descriptor)
    return (
        target,
        File(
            site.file + CLONE_ID_OFFSET,
            clone.name,
            site.size_bytes,
            "reflinked",
            "clone",
            site.file,
            target.base,
        ),
    )


def _stamped(site: Site, layout: str) -> File:
    with _new_target(site) as descriptor:
        for first_page in range(0, site.pages, BATCH_PAGES):
            _write_base(site, descriptor, first_page, min(BATCH_PAGES, site.pages - first_page))
    return site.record(layout, (Base(0, site.pages, "stamp"),))


def _write_base(site: Site, descriptor: int, first_page: int, pages: int) -> None:
    content = bytearray(pages * site.page_bytes)
    stamp.fill(
        content,
        run=site.run,
        file=site.file,
        first_page=first_page,
        generation=0,
        writer=0,
        kind=stamp.Kind.BASE,
        page_bytes=site.page_bytes,
    )
    offset_bytes, left = first_page * site.page_bytes, memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, offset_bytes)
        offset_bytes, left = offset_bytes + written, left[written:]


@contextmanager
def _new_target(site: Site) -> Iterator[int]:
    with _new_file(site.path, TARGET_MODE) as descriptor:
        yield descriptor


@contextmanager
def _new_file(path: Path, mode: int) -> Iterator[int]:
    """A new file, made durable at the end."""
    with _opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
        os.fchmod(descriptor, mode)
        yield descriptor
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


LAYOUTS: dict[str, Callable[[Site], tuple[File, ...]]] = {
    "hole": _hole,
    "unwritten": _unwritten,
    "written": _written,
    "reflinked": _reflinked,
}

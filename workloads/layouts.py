"""Layouts: what lies under the pages of a file before anybody maps it. One row of `LAYOUTS` each, by name.

`create` makes a file, syncs it and describes it as ledger records. Anything a layout brings along, such
as the clone of a reflinked file, is a file with its own record, which the checker then watches too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from verify import stamp
from verify.descriptors import opened
from verify.ledger import Base, File
from workloads import libc
from workloads.unsupported import refusable

CLONE_ID_OFFSET = 1000
"""From the number of a file to that of its clone."""
BATCH_PAGES = 256
"""So many pages are written at a time."""
_TAIL_BYTES = 1234
_INLINE_BYTES = 50
_ALTERNATIONS = 64
TARGET_MODE = 0o666
"""Every worker's user must be able to write to the files."""
CLONE_MODE = 0o644
"""Nobody but root may write to a clone."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layout builds its file, and whose stamps go into it."""

    path: Path
    file: int
    """The number of the file in the ledger and in its stamps."""
    pages: int
    """The size of the mapping that is to come."""
    page_bytes: int
    run: int
    """The number of the run in the stamps."""

    @property
    def size_bytes(self) -> int:
        """The size of the mapping that is to come, and of the file unless the layout says otherwise."""
        return self.pages * self.page_bytes

    def record(self, layout: str, base: tuple[Base, ...], size_bytes: int | None = None) -> File:
        """The target's ledger record."""
        size = self.size_bytes if size_bytes is None else size_bytes
        return File(self.file, self.path.name, size, layout, "target", self.file, base)


@dataclass(frozen=True, slots=True)
class Layout:
    """A row of `LAYOUTS`."""

    name: str
    make: Callable[[Site], tuple[File, ...]]
    """Makes the file and returns the records of all files that it made, the target's first."""
    needs: str = ""
    """The feature that a filesystem must have for it, as `torture.filesystems` names them."""
    opening: tuple[str, ...] = ()
    """Disturbances that a worker which is alone on the file has happen before its first store."""


def create(
    layout: str, directory: Path, name: str, *, file: int, pages: int, page_bytes: int, run: int
) -> tuple[File, ...]:
    """Make file `name` of `pages` pages in a directory and sync both; the target's record comes first.

    A clone gets the id `file` + CLONE_ID_OFFSET. Raises Unsupported, leaving nothing behind, when the
    filesystem refuses the layout, and OSError when it fails otherwise.
    """
    site = Site(directory / name, file, pages, page_bytes, run)
    records = LAYOUTS[layout].make(site)
    with opened(directory, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
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
    with opened(site.path) as source, _new_file(clone, CLONE_MODE) as descriptor:  # noqa: SIM117
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


def _snapshotted(site: Site) -> tuple[File, ...]:
    """A file in a btrfs subvolume of its own, with a snapshot. The path that workers are told is a symbolic link to it;
    who reads what a trial left follows none, so the ledger has the file itself."""
    volume, snapshot = (site.path.with_name(f"{site.path.name}.{kind}") for kind in ("volume", "snapshot"))
    with opened(site.path.parent, os.O_RDONLY | os.O_DIRECTORY) as parent:
        with refusable("snapshotted"):
            libc.create_subvolume(parent, volume.name)
        site.path.symlink_to(Path(volume.name) / "file")
        inside = replace(site, path=volume / "file")
        base = _stamped(inside, "snapshotted").base
        with opened(volume, os.O_RDONLY | os.O_DIRECTORY) as source:
            libc.snapshot_subvolume(source, parent, snapshot.name)
    (snapshot / "file").chmod(CLONE_MODE)
    clone_name = f"{snapshot.name}/file"
    return (
        replace(site.record("snapshotted", base), name=f"{volume.name}/file"),
        File(site.file + CLONE_ID_OFFSET, clone_name, site.size_bytes, "snapshotted", "clone", site.file, base),
    )


def _straddling(site: Site) -> tuple[File, ...]:
    """Written, and cut within its last page, at no boundary of a sector."""
    size_bytes = site.size_bytes - min(_TAIL_BYTES, site.page_bytes // 2)
    return (_stamped(site, "straddling", size_bytes),)


def _extended(site: Site) -> tuple[File, ...]:
    """A file of half the pages that is extended (`grow`) when it is mapped already: the new half is a hole, but for the
    rest of the page in which the old half ends."""
    size_bytes = site.size_bytes // 2 + _TAIL_BYTES
    return (_stamped(site, "extended", size_bytes),)


def _keep_size(site: Site) -> tuple[File, ...]:
    """Preallocated beyond its end (FALLOC_FL_KEEP_SIZE), extended into that when it is mapped already."""
    with _new_target(site) as descriptor, refusable("keep-size", site.path):
        libc.fallocate(descriptor, libc.FALLOC_FL_KEEP_SIZE, 0, site.size_bytes)
    return (site.record("keep-size", (), 0),)


def _alternating(site: Site) -> tuple[File, ...]:
    """Hole and data in turn; page by page in a small file."""
    stride = max(1, site.pages // _ALTERNATIONS)
    written = tuple(
        Base(first_page, min(stride, site.pages - first_page), "stamp")
        for first_page in range(stride, site.pages, 2 * stride)
    )
    with _new_target(site) as descriptor:
        os.ftruncate(descriptor, site.size_bytes)
        for base in written:
            _write_base(site, descriptor, base.first_page, base.pages)
    return (site.record("alternating", written),)


def _zero_range(site: Site) -> tuple[File, ...]:
    """Written, then zeroed by FALLOC_FL_ZERO_RANGE: unwritten extents that have been written before."""
    _stamped(site, "zero-range")
    with opened(site.path, os.O_RDWR) as descriptor, refusable("zero-range", site.path):
        libc.fallocate(descriptor, libc.FALLOC_FL_ZERO_RANGE, 0, site.size_bytes)
        os.fsync(descriptor)
    return (site.record("zero-range", (Base(0, site.pages, "zero"),)),)


def _inline(site: Site) -> tuple[File, ...]:
    """So small that a filesystem with inline data keeps it in the inode or a tree; extended when it is mapped."""
    return (_stamped(site, "inline", _INLINE_BYTES),)


def _stamped(site: Site, layout: str, size_bytes: int | None = None) -> File:
    """A file with base stamps; one of `size_bytes` ends within a page."""
    size = site.size_bytes if size_bytes is None else size_bytes
    pages = -(-size // site.page_bytes)
    with _new_target(site) as descriptor:
        for first_page in range(0, pages, BATCH_PAGES):
            _write_base(site, descriptor, first_page, min(BATCH_PAGES, pages - first_page), size)
    return site.record(layout, (Base(0, pages, "stamp"),), size)


def _write_base(site: Site, descriptor: int, first_page: int, pages: int, size_bytes: int | None = None) -> None:
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
    if size_bytes is not None:
        left = left[: size_bytes - offset_bytes]
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
    with opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL) as descriptor:
        os.fchmod(descriptor, mode)
        yield descriptor
        os.fsync(descriptor)


LAYOUTS = {
    row.name: row
    for row in (
        Layout("hole", _hole),
        Layout("unwritten", _unwritten, needs="unwritten"),
        Layout("written", _written),
        Layout("reflinked", _reflinked, needs="reflink"),
        Layout("snapshotted", _snapshotted, needs="snapshot"),
        Layout("straddling", _straddling),
        Layout("extended", _extended, opening=("grow",)),
        Layout("keep-size", _keep_size, needs="keep-size", opening=("grow",)),
        Layout("alternating", _alternating),
        Layout("zero-range", _zero_range, needs="zero-range"),
        Layout("inline", _inline, opening=("grow",)),
    )
}

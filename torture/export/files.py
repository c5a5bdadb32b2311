"""The C that lays out a file, by layout, and the row of the program's table that says what is in it. Pure.

The sizes are those of workloads.layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torture.plan import FilePlan

_TAIL_BYTES = 1234
_INLINE_BYTES = 50
_ALTERNATIONS = 64


@dataclass(frozen=True, slots=True)
class FileText:
    """A layout in C; `{row}` stands for the index of the file in the program's table."""

    size: str
    """The size in bytes, as a C expression."""
    written: str = "0"
    """So many bytes from the start hold the base, as a C expression."""
    stride: int = 0
    """If not 0, every other run of so many pages holds the base."""
    lines: tuple[str, ...] = ()
    """Statements that lay out the file after it was created."""
    cloned: bool = False
    """Whether the file brings a clone along, which is the next row of the table."""


_TRUNCATE = "must(!ftruncate(fd, files[{row}].size), files[{row}].name);"
_WRITE = "write_base(fd, &files[{row}]);"


def _whole(file: FilePlan) -> str:
    return f"{file.pages} * PAGE"


def _hole(file: FilePlan) -> FileText:
    return FileText(_whole(file), lines=(_TRUNCATE,))


def _unwritten(file: FilePlan) -> FileText:
    return FileText(_whole(file), lines=('must(!fallocate(fd, 0, 0, files[{row}].size), "fallocate");',))


def _written(file: FilePlan) -> FileText:
    return FileText(_whole(file), _whole(file), lines=(_WRITE,))


def _reflinked(file: FilePlan) -> FileText:
    clone = (
        "must(!fsync(fd), files[{row}].name);",
        "clone = create(files[{row} + 1].name);",
        'must(!ioctl(clone, FICLONE, fd), "FICLONE");',
        "finish(clone);",
    )
    return FileText(_whole(file), _whole(file), lines=(_WRITE, *clone), cloned=True)


def _partly(size: str) -> FileText:
    return FileText(size, size, lines=(_WRITE,))


def _straddling(file: FilePlan) -> FileText:
    return _partly(f"{_whole(file)} - {_TAIL_BYTES}")


def _extended(file: FilePlan) -> FileText:
    return _partly(f"{_whole(file)} / 2 + {_TAIL_BYTES}")


def _inline(file: FilePlan) -> FileText:
    return _partly(str(_INLINE_BYTES))


def _keep_size(file: FilePlan) -> FileText:
    fallocate = f'must(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, {_whole(file)}), "fallocate");'
    return FileText("0", lines=(fallocate,))


def _alternating(file: FilePlan) -> FileText:
    stride = max(1, file.pages // _ALTERNATIONS)
    return FileText(_whole(file), stride=stride, lines=(_TRUNCATE, _WRITE))


def _zero_range(file: FilePlan) -> FileText:
    zero = 'must(!fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, files[{row}].size), "zero range");'
    return FileText(_whole(file), lines=("write_stale(fd, &files[{row}]);", zero))


FILES: dict[str, Callable[[FilePlan], FileText]] = {
    "hole": _hole,
    "unwritten": _unwritten,
    "written": _written,
    "reflinked": _reflinked,
    "straddling": _straddling,
    "extended": _extended,
    "inline": _inline,
    "keep-size": _keep_size,
    "alternating": _alternating,
    "zero-range": _zero_range,
}

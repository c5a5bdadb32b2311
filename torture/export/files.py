"""The C that lays out a file, by layout, and what the row of the program's table says is in it. Pure data.

The sizes are those of workloads.layouts. `@PAGES@` stands for the pages of the file, `@ROW@` for its index in the table.
"""

from __future__ import annotations

from dataclasses import dataclass

from torture.export.quoting import Code

ALTERNATIONS = 64
_WHOLE, _NONE = Code("@PAGES@ * PAGE"), Code("0")
_TRUNCATE = Code("must(!ftruncate(fd, files[@ROW@].size), files[@ROW@].name);")
_WRITE = Code("write_base(fd, &files[@ROW@]);")


@dataclass(frozen=True, slots=True)
class FileText:
    """A layout in C."""

    lines: Code
    """Statements that lay out the file after it was created."""
    size: Code = _WHOLE
    """The size in bytes, as an expression."""
    written: Code = _NONE
    """So many bytes from the start hold the base, as an expression."""
    alternates: bool = False
    """Whether every other run of pages holds the base, of about `ALTERNATIONS` runs."""
    cloned: bool = False
    """Whether the file brings a clone along, which is the next row of the table."""


def _partly(size: Code) -> FileText:
    return FileText(_WRITE, size, size)


FILES: dict[str, FileText] = {
    "hole": FileText(_TRUNCATE),
    "unwritten": FileText(Code('must(!fallocate(fd, 0, 0, files[@ROW@].size), "fallocate");')),
    "written": _partly(_WHOLE),
    "reflinked": FileText(
        Code("""\
write_base(fd, &files[@ROW@]);
must(!fsync(fd), files[@ROW@].name);
clone = create(files[@ROW@ + 1].name);
must(!ioctl(clone, FICLONE, fd), "FICLONE");
finish(clone);"""),
        written=_WHOLE,
        cloned=True,
    ),
    "straddling": _partly(Code("@PAGES@ * PAGE - 1234")),
    "extended": _partly(Code("@PAGES@ * PAGE / 2 + 1234")),
    "inline": _partly(Code("50")),
    "keep-size": FileText(Code('must(!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, @PAGES@ * PAGE), "fallocate");'), size=_NONE),
    "alternating": FileText(
        Code("""\
must(!ftruncate(fd, files[@ROW@].size), files[@ROW@].name);
write_base(fd, &files[@ROW@]);"""),
        alternates=True,
    ),
    "zero-range": FileText(
        Code("""\
write_stale(fd, &files[@ROW@]);
must(!fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, files[@ROW@].size), "zero range");""")
    ),
}

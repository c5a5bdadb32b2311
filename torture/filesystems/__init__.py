"""The filesystems under test: one row each, one file a family. Adding one is adding a row; nothing else changes.

A new family is a file with ROWS, named in `_FAMILIES`.
"""

from __future__ import annotations

from torture.errors import BadRequest
from torture.filesystems import btrfs, ext, f2fs, jfs, reiserfs, tmpfs, xfs
from torture.filesystems.base import Filesystem, Recovery
from verify.codec import shown

__all__ = ["CONFIGURED", "FILESYSTEMS", "USUAL", "Filesystem", "Recovery", "filesystem"]

_FAMILIES = (ext, xfs, btrfs, f2fs, jfs, reiserfs, tmpfs)
_ROWS = [row for family in _FAMILIES for row in family.ROWS]

FILESYSTEMS: dict[str, Filesystem] = {row.name: row for row in sorted(_ROWS, key=lambda row: row.name != row.type)}
"""By name; plain ones come before named configurations."""

USUAL = tuple(row.name for row in sorted(_ROWS, key=lambda row: row.usual) if row.usual)
"""Those that are tried when none is named."""

CONFIGURED = (*USUAL, *(row.name for row in _ROWS if row.name != row.type and row.type in USUAL))
"""The same with all their named configurations."""


def filesystem(name: str) -> Filesystem:
    """The row called `name`; BadRequest names the rows there are."""
    if name not in FILESYSTEMS:
        raise BadRequest(f"unknown filesystem {shown(name)}", f"known are {', '.join(FILESYSTEMS)}")
    return FILESYSTEMS[name]

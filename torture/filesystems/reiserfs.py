"""reiserfs. It has no FIEMAP."""

from __future__ import annotations

from torture.filesystems.base import ON_DISK, Check, Filesystem

ROWS = (
    Filesystem(
        name="reiserfs",
        mkfs=("mkfs.reiserfs", "-q", "-f", "-f"),
        check=Check(("reiserfsck", "--check", "-y", "-q")),
        package="reiserfsprogs",
        size_mib=64,
        features=ON_DISK | {"journal", "gives-up"},
    ),
)

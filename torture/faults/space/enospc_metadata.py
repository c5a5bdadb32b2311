"""ENOSPC of metadata: no inode is to be had any more, while there is room for data.

A store needs no inode, but on btrfs and f2fs it needs the kind of block that is gone. There, tiny files live in
metadata; on ext4 and xfs mkfs is told to allow few inodes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import ClassVar

from torture.errors import StepFailed
from torture.faults.base import Fault, Options, Parameter, Proof
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene

_MKFS: Mapping[str, tuple[str, ...]] = {
    "ext4": ("-N", "256"),
    "ext3": ("-N", "256"),
    "ext2": ("-N", "256"),
    "xfs": ("-i", "maxpct=1"),
    "btrfs": (),
}
_FILES_PER_DIRECTORY = 1000
_XATTR_BYTES = 15_000
"""Nearly a leaf (nodesize 16 KiB, mkfs.btrfs(8))."""
_SLACK_FILES = 64
"""A directory that was split, or a chunk of inodes, may leave room for some more."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


class EnospcMetadata(Fault):
    """Tiny files are made until no more can be; `free_files` of them are removed again."""

    name = "enospc-metadata"
    meaning = "no inode or metadata block is left, but room for data"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_files": Parameter(0, 0, 1 << 20, "tiny files that could still be made"),
    }

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """Where the number of inodes cannot be limited, data space would be gone before them."""
        return "" if row.type in _MKFS else f"{row.name} has no limit on inodes but its size"

    def options(self, row: Filesystem) -> Options:
        """Few inodes."""
        return Options(_MKFS[row.type])

    def arm(self, scene: Scene) -> None:
        """Make files until refused, on btrfs first with as much metadata each as can be."""
        sizes_bytes = (_XATTR_BYTES, 0) if scene.filesystem.type == "btrfs" else (0,)
        paths: list[Path] = []
        for place, xattr_bytes in enumerate(sizes_bytes):
            paths += _make_until_refused(scene.mount_point / f"tiny-{place}", xattr_bytes)
        for path in paths[len(paths) - self.values["free_files"] :]:
            path.unlink()
        scene.note(f"{len(paths)} tiny files until ENOSPC, {self.values['free_files']} of them removed")

    def proof(self, scene: Scene) -> Proof:
        """It fired when still no more files can be made than were to be left free."""
        made = 0
        try:
            for number in range(self.values["free_files"] + _SLACK_FILES):
                (scene.mount_point / f"probe-{number}").touch()
                made += 1
        except OSError as error:
            said = errno.errorcode.get(error.errno or 0, str(error))
            return Proof(error.errno in _FULL, f"{made} more files could be made, then {said}")
        return Proof(False, f"{made} more files could be made")


def _make_until_refused(directory: Path, xattr_bytes: int) -> list[Path]:
    """Empty files, each with an extended attribute of so many bytes, which a btrfs keeps in its leaves."""
    made = []
    try:
        for number in count():
            if number % _FILES_PER_DIRECTORY == 0:
                place = Path(f"{directory}-{number // _FILES_PER_DIRECTORY}")
                place.mkdir()
            path = place / str(number)
            path.touch()
            made.append(path)
            if xattr_bytes:
                os.setxattr(path, "user.metadata", bytes(xattr_bytes))
    except OSError as error:
        if error.errno not in _FULL:
            raise StepFailed("make tiny files", str(error)) from error
    return made

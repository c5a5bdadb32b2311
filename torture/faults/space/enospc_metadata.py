"""ENOSPC of metadata: no inode is to be had any more, while there is room for data.

A store needs no inode, but where inodes live among other metadata it needs the kind of block that is gone. Elsewhere mkfs
is told to allow few inodes.
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

_FILES_PER_DIRECTORY = 1000
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
        return f"{row.name} has no limit on inodes but its size" if row.few_inodes is None else ""

    def options(self, row: Filesystem) -> Options:
        """Few inodes."""
        return Options(row.few_inodes or ())

    def arm(self, scene: Scene) -> None:
        """Make files until refused, first with as much metadata each as can be."""
        paths: list[Path] = []
        for place, xattr_bytes in enumerate(dict.fromkeys((scene.filesystem.xattr_bytes, 0))):
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
    """Empty files, each with an extended attribute of so many bytes, which take metadata only."""
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

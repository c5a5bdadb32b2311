"""Where a guest leaves its results: a directory of its own, from which the host takes them by one door.

A guest may have been taken over, so it writes to no directory that the host reads or writes by name: for each request
what it needs is copied into `place`, and what it leaves is copied out when it is done or gone. Only plain files come
out, each opened without following a link, for a link would have the host read, and mail, whatever it points at, and a
pipe would have it wait for ever.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LIMIT_BYTES = 4 << 30
"""Of all that a guest leaves of one request; a file with a hole may claim to be of any size."""
_CHUNK_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Outbox:
    """`place` lies in the guest's home, and is its to write to; `user` is the guest's uid and gid on this machine, None
    if it runs as whoever started it."""

    place: Path
    user: int | None

    def make(self) -> None:
        """Make the directory itself."""
        self.place.mkdir()
        give(self.place, self.user)

    def lend(self, directory: Path) -> str:
        """Put the plain files of `directory` where the guest finds them; returns the name by which it asks for them."""
        inner = self.place / directory.name
        inner.mkdir()
        for file in directory.iterdir():
            if file.is_file():
                shutil.copyfile(file, inner / file.name)
                give(inner / file.name, self.user)
        give(inner, self.user)
        return directory.name

    def take_back(self, directory: Path) -> list[str]:
        """Copy what the guest left for `directory` there; returns a sentence for each thing that stays behind."""
        inner = self.place / directory.name
        try:
            descriptor = os.open(inner, _READ | os.O_DIRECTORY)
        except OSError as error:
            return [f"the guest's {directory.name} cannot be read: {error.strerror}"]
        try:
            return list(_copied(descriptor, directory))
        finally:
            os.close(descriptor)
            shutil.rmtree(inner, ignore_errors=True)


def give(path: Path, user: int | None) -> None:
    """Make `path`, which nobody else could write to so far, the user's."""
    if user is not None:
        os.chown(path, user, user, follow_symlinks=False)


def _copied(source: int, directory: Path) -> Iterator[str]:
    """Copy every plain file of an open directory; yields a sentence for each that is none or too much. What the host put
    there itself, such as the plan, is its own."""
    left_bytes = LIMIT_BYTES
    with os.scandir(source) as entries:
        names = {entry.name for entry in entries} - {file.name for file in directory.iterdir()}
    for name in sorted(names):
        try:
            file = os.open(name, _READ, dir_fd=source)
        except OSError as error:
            yield f"the guest left {name!r}, which is not taken: {error.strerror}"
            continue
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                yield f"the guest left {name!r}, which is no plain file and not taken"
            elif status.st_size > left_bytes:
                yield f"the guest left {name!r} of {status.st_size} bytes, which is too much and not taken"
            else:
                left_bytes -= _copy(file, directory / name, left_bytes)
        finally:
            os.close(file)


def _copy(file: int, target: Path, most_bytes: int) -> int:
    """Copy a file of which a guest may still make more, holes as such; returns how many bytes."""
    done = 0
    with open(target, "xb") as out:
        while done < most_bytes and (chunk := os.read(file, min(_CHUNK_BYTES, most_bytes - done))):
            done += len(chunk)
            if chunk.count(0) == len(chunk):
                out.seek(len(chunk), os.SEEK_CUR)
            else:
                out.write(chunk)
        out.truncate()
    return done

"""File descriptors that are closed again, and files that somebody else may have put there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

_NO_FILE = "it is no regular file"
READ_LIMIT_BYTES = 64 << 20
"""What is read whole is a text; more is none of ours."""
MOST_LINE_BYTES = 32 << 20
"""Of a line of a file that is read line by line; the longest that are written have some 10 MB."""


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> Iterator[int]:
    """A descriptor of `path`, opened with `flags` (and `mode` if that makes it), not inherited, closed in the end.

    Raises what open(2) tells, as OSError.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_regular(path: Path | str, flags: int = 0, *, dir_fd: int | None = None) -> int:
    """A descriptor of a regular file, to be read. OSError for anything else, at once: a FIFO may wait for ever, and a
    device never end. Its errno is EISDIR for a directory, else ENXIO."""
    descriptor = os.open(path, flags | os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EISDIR if stat.S_ISDIR(kind) else errno.ENXIO, _NO_FILE, str(path))


@contextmanager
def regular(path: Path | str) -> Iterator[BufferedReader]:
    """Such a file as a stream."""
    with os.fdopen(open_regular(path), "rb") as file:
        yield file


def read_text(path: Path | str, limit_bytes: int = READ_LIMIT_BYTES) -> str:
    """The text of such a file. Raises OSError, also if it is longer than `limit_bytes`, and UnicodeDecodeError."""
    with regular(path) as file:
        return _whole(file, limit_bytes, path).decode()


@contextmanager
def opened_kept(path: Path) -> Iterator[BinaryIO]:
    """A regular file to be read, in a directory whose content somebody else may have sent: of a trial, or a finding.

    The directory is what the user named. The file itself may be no link, which would show another file as evidence, and
    nothing that a reader waits for. Raises OSError, which says so.
    """
    with opened(path.parent, os.O_PATH | os.O_DIRECTORY) as directory:
        try:
            kept = open_regular(path.name, os.O_NOFOLLOW, dir_fd=directory)
        except OSError as error:
            reason = "it is a symbolic link, which is not followed" if error.errno == errno.ELOOP else error.strerror
            raise OSError(error.errno, reason, str(path)) from None
    with os.fdopen(kept, "rb") as content:
        yield content


def read_kept(path: Path, limit_bytes: int = READ_LIMIT_BYTES) -> bytes:
    """The content of such a file. Raises OSError, also if it is longer than `limit_bytes`."""
    with opened_kept(path) as kept:
        return _whole(kept, limit_bytes, path)


def _whole(file: BinaryIO, limit_bytes: int, path: Path | str) -> bytes:
    content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"it has more than {limit_bytes} bytes", str(path))
    return content


def kept_files(directory: Path) -> list[Path]:
    """The files in such a directory, in order. Raises OSError for what is neither a regular file nor a directory."""
    kept = [path for path in sorted(directory.iterdir()) if path.is_symlink() or not path.is_dir()]
    for path in kept:
        if path.is_symlink() or not path.is_file():
            raise OSError(errno.EINVAL, _NO_FILE, str(path))
    return kept


def lines(path: Path | str, most_bytes: int = MOST_LINE_BYTES) -> Iterator[bytes]:
    """The lines of such a file, newlines included, one in memory at a time; OSError for one that is longer."""
    with opened_kept(Path(path)) as file:
        while line := file.readline(most_bytes + 1):
            if len(line) > most_bytes:
                raise OSError(errno.EFBIG, f"a line is longer than {most_bytes >> 20} MiB", str(path))
            yield line

"""File descriptors that are closed again, and files that are read no further than they should be long."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

MOST_BYTES = 64 << 20
"""Of a file that is read whole."""
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


@contextmanager
def regular(path: Path | str) -> Iterator[BufferedReader]:
    """A regular file, to be read. OSError for anything else, at once: a FIFO may wait for ever, and a device never end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield file


def whole(path: Path | str) -> bytes:
    """The content of a regular file of at most MOST_BYTES; OSError for any other."""
    with regular(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"longer than {MOST_BYTES >> 20} MiB", str(path))
    return content


def lines(path: Path | str, most_bytes: int = MOST_LINE_BYTES) -> Iterator[bytes]:
    """The lines of a regular file, newlines included, one in memory at a time; OSError for one that is longer."""
    with regular(path) as file:
        while line := file.readline(most_bytes + 1):
            if len(line) > most_bytes:
                raise OSError(errno.EFBIG, f"a line is longer than {most_bytes >> 20} MiB", str(path))
            yield line

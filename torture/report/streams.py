"""The standard streams of the command: nothing that is said about a run may end it.

A terminal is closed, a pipe is read no further, or a descriptor was closed from the start; then the next file that is
opened would get its number, and the words of whoever writes to it.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import BinaryIO, cast

NOBODY_LISTENS = (errno.EPIPE, errno.EIO)
"""What write(2) says to a pipe that nobody reads, and to a terminal that is gone."""
_DESCRIPTORS = (0, 1, 2)


class _Unfailing(io.TextIOWrapper):
    """Text for a descriptor that may go deaf: what cannot be written is lost."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def prepare() -> None:
    """Open what is closed, and have standard error never fail. Call it before anything else is opened."""
    for descriptor in _DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free (open(2)): this one
            os.set_inheritable(descriptor, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for the life of the program
    raw = cast(BinaryIO, io.FileIO(2, "wb", closefd=False))
    sys.stderr = _Unfailing(raw, sys.stdout.encoding, "backslashreplace", write_through=True)

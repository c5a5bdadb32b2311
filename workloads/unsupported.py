"""What a filesystem or kernel refuses to do at all: a reason for a trial not to run, never a finding."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_REFUSALS = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS)


class Unsupported(Exception):
    """This filesystem or kernel cannot do it: `what` was asked for, and `reason`, the error it gave."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} is not supported here: {self.reason}"


@contextmanager
def refusable(what: str, *made: Path) -> Iterator[None]:
    """Turn a refusal into Unsupported and remove the files made so far."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        for path in made:
            path.unlink()
        raise Unsupported(what, os.strerror(error.errno)) from error

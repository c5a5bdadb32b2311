"""Run ids, and how a living run is told from a dead one.

Everything a run makes (dm devices, loop backing files, mounts, guests) carries its id. A living run holds an abstract
unix socket of that name, which the kernel drops with the process however it ends; nothing has to be written or removed.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from torture.errors import BadRequest

PREFIX = "torture-"
PATTERN = re.compile(r"torture-\d{8}-\d{6}-[0-9a-f]{6}")
ENVIRONMENT = "TORTURE_RUN"
"""The variable that every process of a run has in its environment."""


def new_run_id() -> str:
    """A fresh id, sortable by time: torture-YYYYMMDD-HHMMSS-xxxxxx."""
    return f"{PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def is_alive(run_id: str) -> bool:
    """Whether a process holds this run now."""
    names = (line.rsplit(" ", 1)[-1] for line in Path("/proc/net/unix").read_text().splitlines())
    return f"@{run_id}" in names


class Hold(AbstractContextManager["Hold"]):
    """Holds a run for the life of this process; a second holder gets BadRequest."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._socket = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Hold:
        try:
            self._socket.bind(f"\0{self._run_id}")
        except OSError as error:
            self._socket.close()
            raise BadRequest(f"run {self._run_id} is being carried out by another process", "wait for it") from error
        self._socket.listen(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

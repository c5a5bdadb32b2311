"""Forked children of a worker: the other process of pins and access paths that need one.

A child dies with the worker (PR_SET_PDEATHSIG), never returns into its caller's code, and says its result through a
pipe as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

from workloads import libc

EXIT_BROKE = 70


class ChildBroke(Exception):
    """A child ended without a result."""

    reason: str
    """Its traceback, or how it ended."""
    errno: int | None
    """Of the OSError that ended it, if one did."""

    def __init__(self, reason: str, errno: int | None) -> None:
        super().__init__(reason)
        self.reason, self.errno = reason, errno


def errno_in(error: BaseException) -> int | None:
    """The errno of a system call that failed here or in a child, None if the error is none of these."""
    return error.errno if isinstance(error, OSError | ChildBroke) else None


def in_child(call: Callable[[], Any]) -> Any:
    """What `call` returns, as JSON, in a forked child that then exits. Raises ChildBroke."""
    child = Child(call)
    try:
        return child.result()
    finally:
        child.wait()


class Child:
    """A forked child that makes one call, says its result, and stays until `end`, or for `in_child` until it is
    done."""

    def __init__(self, call: Callable[[], Any], *, stays: bool = False) -> None:
        self._result, result = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _be_child(call, result, parent, stays)
        os.close(result)

    def result(self) -> Any:
        """The call's result; waits for it. Raises ChildBroke."""
        parts = []
        while part := os.read(self._result, 1 << 16):
            parts.append(part)
        os.close(self._result)
        said = json.loads(b"".join(parts) or b'["broke", "it said nothing", null]')
        if said[0] != "ok":
            raise ChildBroke(said[1], said[2])
        return said[1]

    def end(self) -> None:
        """Kill the child, if it stays, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        """Wait until the child is gone."""
        os.waitpid(self.pid, 0)


def _be_child(call: Callable[[], Any], result: int, parent: int, stays: bool) -> None:
    status = EXIT_BROKE
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            os.write(result, json.dumps(["ok", call()]).encode())
            status = 0
    except BaseException as error:
        os.write(result, json.dumps(["broke", traceback.format_exc(), errno_in(error)]).encode())
    finally:
        os.close(result)
        while stays and status == 0:
            signal.pause()
        os._exit(status)

"""Finds and ends the processes of a run or guest by a tag in their environment.

Helper processes of User-mode Linux rename themselves and outlive their parent; their environment stays.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_GONE_TIMEOUT_S = 10.0


def tagged(tag: str) -> Iterator[int]:
    """Processes other than this one that have the variable `tag` (NAME=VALUE, or NAME= for any value)."""
    wanted = tag.encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone, or somebody else's
        any_value = wanted.endswith(b"=")
        found = any(variable == wanted or (any_value and variable.startswith(wanted)) for variable in variables)
        if found and int(entry.name) != os.getpid():
            yield int(entry.name)


def variable(pid: int, name: str) -> str:
    """The value of an environment variable of a process, "" if it has none or is gone."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    prefix = f"{name}=".encode()
    return next((entry[len(prefix) :].decode() for entry in variables if entry.startswith(prefix)), "")


def seen_from_host(pid: int) -> str:
    """What the host knows of a process that does not answer (proc(5)): state, times, where it waits; no more than may be
    read."""
    parts = []
    for name in ("stat", "wchan", "syscall", "stack"):
        try:
            parts.append(f"{name}: {Path(f'/proc/{pid}/{name}').read_text().strip()}")
        except OSError as error:
            parts.append(f"{name}: {error.strerror}")
    return "\n".join(parts) + "\n\n"


def kill_tagged(tag: str) -> int:
    """Kill all processes with `tag` until none is left; returns how many were killed."""
    return _kill_all(lambda: tagged(tag))


def kill_user(user: int) -> int:
    """Kill all processes of a uid that only one guest has; returns how many were killed."""
    return _kill_all(lambda: _of_user(user))


def _of_user(user: int) -> Iterator[int]:
    """Processes whose real uid is `user` and that have not ended (proc_pid_status(5))."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue  # gone
        if int(fields["Uid"].split()[0]) == user and not fields["State"].strip().startswith("Z"):
            yield int(entry.name)


def _kill_all(find: Callable[[], Iterable[int]]) -> int:
    killed: set[int] = set()
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while (left := list(find())) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # ended between the look and the signal
            killed.add(pid)
        _wait_for_any(left)
    return len(killed)


def _wait_for_any(pids: list[int]) -> None:
    """Wait briefly for one of `pids` to end; zombies have no environment and are not seen again."""
    try:
        descriptor = os.pidfd_open(pids[0])
    except OSError:
        return  # it is gone
    try:
        select.select([descriptor], [], [], 0.2)
    finally:
        os.close(descriptor)

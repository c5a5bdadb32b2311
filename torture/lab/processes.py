"""Finds and ends the processes of a run or guest by a tag in their environment.

Helper processes of User-mode Linux rename themselves and outlive their parent; their environment stays.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from devicemapper import tools
from torture.rig.blocked import state

_GONE_TIMEOUT_S = 10.0
_PAUSE_S = 0.2


def tagged(tag: str) -> Iterator[int]:
    """Processes other than this one that have the variable `tag` (NAME=VALUE, or NAME= for any value)."""
    wanted = tag.encode()
    for entry in Path("/proc").glob("[0-9]*"):
        variables = _variables(entry.name)
        any_value = wanted.endswith(b"=")
        found = any(variable == wanted or (any_value and variable.startswith(wanted)) for variable in variables)
        if found and int(entry.name) != os.getpid():
            yield int(entry.name)


def environment(pid: int) -> dict[str, str]:
    """The variables of a process, as they are at one moment (an execve(2) changes them all); none if it is gone."""
    return dict(os.fsdecode(variable).partition("=")[::2] for variable in _variables(pid))


def _variables(pid: int | str) -> list[bytes]:
    """None if it is gone, or somebody else's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def variable(pid: int, name: str) -> str:
    """The value of an environment variable of a process, "" if it has none or is gone."""
    return environment(pid).get(name, "")


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


def untraced(leader: int) -> frozenset[int]:
    """The other processes of the session that a process leads, but for those that somebody traces."""
    session = (entry for entry in Path("/proc").glob("[0-9]*") if _is_in_session(int(entry.name), leader))
    return frozenset(pid for entry in session if (pid := int(entry.name)) != leader and not _is_traced(entry))


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not only what its parent has not waited for yet."""
    return state(pid) not in ("Z", "")


def _is_in_session(pid: int, leader: int) -> bool:
    try:
        return os.getsid(pid) == leader
    except ProcessLookupError:
        return False


def _is_traced(entry: Path) -> bool:
    try:
        return "\nTracerPid:\t0\n" not in (entry / "status").read_text(errors="replace")
    except OSError:
        return True


def is_one_user(pid: int) -> bool:
    """Whether a process is of one user in all respects: one that a setuid program runs has the environment of whoever
    started it, and more rights (Uid of /proc/PID/status, proc(5): real, effective, saved, file system)."""
    return len(set(_uids(pid))) == 1


def is_ours(pid: int) -> bool:
    """Whether a process is of our user, in all respects."""
    return is_user(pid, os.geteuid())


def is_user(pid: int, user: int) -> bool:
    """Whether a process is of a user, in all respects."""
    return set(_uids(pid)) == {user}


def _uids(pid: int) -> list[int]:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return []
    return next([int(word) for word in line.split()[1:]] for line in status.splitlines() if line.startswith("Uid:"))


def kill_tagged(tag: str) -> int:
    """Kill all processes with `tag` until none is left; returns how many were killed."""
    return len(kill(lambda: tagged(tag)))


def kill_user(user: int) -> int:
    """Kill all processes of a uid that only one guest has; returns how many were killed."""
    return len(kill(lambda: _of_user(user)))


def _of_user(user: int) -> Iterator[int]:
    """Processes whose real uid is `user`, but for those that ended and only wait to be waited for."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if _uids(pid)[:1] == [user] and is_alive(pid):
            yield pid


def kill(find: Callable[[], Iterator[int]]) -> set[int]:
    """Kill the processes that `find` yields until it yields none; returns those that were killed."""
    killed: set[int] = set()
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while (left := list(find())) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # ended between the look and the signal
            killed.add(pid)
        tools.exited(left[0], _PAUSE_S)  # zombies have no environment and are not seen again
    return killed

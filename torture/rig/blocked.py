"""Whether a process sleeps uninterruptibly, as one does that waits for a disk, or for a filesystem that is frozen; or tries
something in the kernel again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_PARENT, _TIMES = 1, slice(11, 13)
_TRYING_S = 0.5
_LOOKS_AFTER_S = (0, 0.2, 0.2, 0.2, 0.2)


def is_blocked(pid: int) -> bool:
    """Whether process `pid` sleeps uninterruptibly for five looks in a row, a fifth of a second apart."""
    return pid in blocked_among([pid])


def blocked_among(pids: Iterable[int]) -> frozenset[int]:
    """Those of these processes of which `is_blocked` holds, all looked at together."""
    blocked = frozenset(pids)
    for wait_s in _LOOKS_AFTER_S:
        if blocked:
            time.sleep(wait_s)
            blocked = frozenset(pid for pid in blocked if state(pid) == "D")
    return blocked


def state(pid: int) -> str:
    """The letter that proc(5) has for the state of a process, "" if it is gone."""
    return next(iter(_stat(pid)), "")


def is_trying(pid: int) -> bool:
    """Whether process `pid` and its living children were at work for long, as none is that waits for its turn on a slow
    machine. User-mode Linux takes the time that a process spends in the kernel for its own (proc(5): utime, stime)."""
    everybody = (_stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    family = [_stat(pid), *(stat for stat in everybody if stat[_PARENT : _PARENT + 1] == [str(pid)])]
    return sum(int(ticks) for stat in family for ticks in stat[_TIMES]) / os.sysconf("SC_CLK_TCK") >= _TRYING_S


def _stat(pid: int) -> list[str]:
    """The fields from the state on; none if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def where_blocked(pid: int) -> str:
    """Where process `pid` is stuck: its state and kernel stack, as far as this process may see them."""
    parts = []
    for name in ("status", "wchan", "stack"):
        try:
            text = Path(f"/proc/{pid}/{name}").read_text()
        except OSError as error:
            text = f"({name}: {error.strerror})"
        parts.append("\n".join(text.splitlines()[:20]))
    return "\n".join(parts)

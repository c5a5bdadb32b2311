"""Keeps every guest of the `uml` lab on one core. Kernel and processes of a User-mode Linux take turns, and each turn that
wakes another core leaves both idle for a while (docs/benchmarks.md has what that costs).
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from torture.lab import processes
from torture.lab import run_id as runs

_one_at_a_time = threading.Lock()


@contextmanager
def on_one_core() -> Iterator[int]:
    """Whatever the calling thread starts meanwhile stays on one core: the one that has the fewest guests, of all runs."""
    with _one_at_a_time:
        allowed = os.sched_getaffinity(0)
        taken = _guests_by_core()
        core = min(allowed, key=lambda each: (taken[each], random.random()))
        os.sched_setaffinity(0, {core})  # of this thread only; a child inherits it (sched_setaffinity(2))
        try:
            yield core
        finally:
            os.sched_setaffinity(0, allowed)


def _guests_by_core() -> Counter[int]:
    """How many guests were put on each core: sessions, since a guest has many processes."""
    sessions: dict[int, int] = {}
    for pid in processes.tagged(f"{runs.GUEST}="):
        try:
            cores, session = os.sched_getaffinity(pid), os.getsid(pid)
        except ProcessLookupError:
            continue  # it ended meanwhile
        if len(cores) == 1:
            sessions[session] = min(cores)
    return Counter(sessions.values())

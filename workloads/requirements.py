"""What workers need of the machine, found before a trial and not in the middle of it. Pure.

A check says what is missing, which makes the trial `notrun`; "" if nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from workloads.limits import UNLIMITED
from workloads.pins import PINS
from workloads.plan import WorkerPlan

# Page tables, batches of stamps and the filesystem's own memory, on top of what is mapped.
_OVERHEAD_DIVISOR = 8
_OVERHEAD_BYTES = 32 << 20


def memlock_needed(plans: Iterable[WorkerPlan], page_bytes: int) -> int:
    """The RLIMIT_MEMLOCK in bytes that the greediest worker needs: the limit is one process's (mlock(2))."""
    return max((PINS[plan.pin].locked_bytes(plan.pages * page_bytes) for plan in plans), default=0)


def check_memlock(needed: int, limit: int) -> str:
    """`limit` is what workers will get: bytes or UNLIMITED (limits.highest_memlock_bytes)."""
    if limit == UNLIMITED or needed <= limit:
        return ""
    return f"RLIMIT_MEMLOCK is too small for the pinned mapping: {needed} bytes needed, {limit} available"


def check_memory(mapped_bytes: int, available_bytes: int) -> str:
    """Whether `mapped_bytes` can stay in what the kernel calls MemAvailable, with room to work."""
    needed = mapped_bytes + mapped_bytes // _OVERHEAD_DIVISOR + _OVERHEAD_BYTES if mapped_bytes else 0
    if needed <= available_bytes:
        return ""
    return f"the mapped files are too big for memory: {needed} bytes needed, {available_bytes} available"


def mem_available_bytes(meminfo: str) -> int:
    """MemAvailable from the text of /proc/meminfo (proc_meminfo(5)). Raises ValueError if it has none."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    if not found:
        raise ValueError("no MemAvailable in /proc/meminfo")
    return int(found[1]) * 1024

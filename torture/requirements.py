"""What a plan needs, found before the trial: each missing thing is a reason for `notrun`, with the number needed."""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from torture.errors import NotRun
from torture.faults.base import Fault
from torture.filesystems import Filesystem
from torture.ground import Ground, filesystem_missing, target_missing
from torture.plan import Plan
from workloads import requirements as workload

_CAP_SYS_RESOURCE = 24
_LAYOUT_SHARE = 4
"""The files may take a quarter of the device: metadata, clones and ballast need the rest."""


def check(plan: Plan, row: Filesystem, faults: Sequence[Fault], ground: Ground) -> str:
    """Raise NotRun for the first requirement that is missing; returns the kernel release."""
    reasons = [
        filesystem_missing(row, ground.modules),
        *(target_missing(target, ground) for fault in faults for target in sorted(fault.targets)),
        *(fault.missing(row, ground) for fault in faults),
        _layouts_missing(plan, row),
        _space_missing(plan, row),
        _memory_missing(plan),
    ]
    for reason in filter(None, reasons):
        raise NotRun(reason)
    return platform.release()


def _layouts_missing(plan: Plan, row: Filesystem) -> str:
    needs = {"unwritten": "unwritten", "reflinked": "reflink"}
    for file in plan.files:
        if file.layout in needs and not row.has(needs[file.layout]):
            return f"{row.name} has no {needs[file.layout]} extents"
    return ""


def _space_missing(plan: Plan, row: Filesystem) -> str:
    needed = sum(file.pages for file in plan.files) * plan.page_bytes
    limit = row.size_mib * (1 << 20) // _LAYOUT_SHARE
    if needed > limit:
        return f"the files need {needed} bytes, a quarter of the {row.size_mib} MiB device is {limit}"
    return ""


def _memory_missing(plan: Plan) -> str:
    mapped = sum(worker.pages for worker in plan.workers) * plan.page_bytes
    locked = workload.memlock_needed(plan.workers, plan.page_bytes)
    lacking = (
        workload.check_memory(mapped, workload.mem_available_bytes(Path("/proc/meminfo").read_text())),
        workload.check_memlock(locked, memlock_limit_bytes(plan.memlock_bytes)),
    )
    return "; ".join(str(requirement) for requirement in lacking if requirement)


def memlock_limit_bytes(wanted: int) -> int:
    """The RLIMIT_MEMLOCK that a worker can be given when `wanted` is asked for; -1 is no limit.

    Only CAP_SYS_RESOURCE may raise a hard limit (setrlimit(2)); containers often run without it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY or _may_raise_limits() or 0 <= wanted <= hard:
        return wanted
    return hard


def _may_raise_limits() -> bool:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)


def is_blocked(pid: int) -> bool:
    """Whether process `pid` sleeps uninterruptibly for five looks in a row, a fifth of a second apart."""
    return all(_state_after(pid, wait_s) == "D" for wait_s in (0, 0.2, 0.2, 0.2, 0.2))


def _state_after(pid: int, wait_s: float) -> str:
    time.sleep(wait_s)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def blocked(pid: int) -> str:
    """Where process `pid` is stuck: its state and kernel stack, as far as this process may see them."""
    parts = []
    for name in ("status", "wchan", "stack"):
        try:
            text = Path(f"/proc/{pid}/{name}").read_text()
        except OSError as error:
            text = f"({name}: {error.strerror})"
        parts.append("\n".join(text.splitlines()[:20]))
    return "\n".join(parts)

"""What a plan needs, found before the trial: each missing thing is a reason for `notrun`, with the number needed."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from devicemapper import mounts, tools
from torture.errors import NotRun
from torture.faults.base import Fault
from torture.filesystems import Filesystem
from torture.plan import Plan
from torture.rig.machine import Machine, filesystem_missing, target_missing
from workloads import requirements as workload
from workloads.layouts import LAYOUTS
from workloads.limits import attainable_memlock_bytes
from workloads.probes import STEPS

_LAYOUT_SHARE = 4
"""The files may take a quarter of the device: metadata, clones and ballast need the rest."""


def check(plan: Plan, row: Filesystem, faults: Sequence[Fault], machine: Machine) -> str:
    """Raise NotRun for the first requirement that is missing; returns the kernel release."""
    _refuse(
        filesystem_missing(row, machine.modules),
        *(target_missing(target, machine) for fault in faults for target in sorted(fault.targets)),
        *_unable(plan, row, faults, machine),
        _space_missing(plan, row),
        _memory_missing(plan),
    )
    return platform.release()


def check_mounted(plan: Plan, row: Filesystem, faults: Sequence[Fault], machine: Machine) -> None:
    """Raise NotRun for the first requirement that `row`, the filesystem as it was found mounted, does not meet."""
    _refuse(row.void("store promise"), *_unable(plan, row, faults, machine))


@contextmanager
def refusable(plan: Plan) -> Iterator[None]:
    """NotRun when mkfs or mount refuses the plan's own options: such a filesystem cannot be had here."""
    try:
        yield
    except (tools.CommandFailed, mounts.MountFailed) as error:
        if not (plan.mkfs_options or plan.mount_options):
            raise
        raise NotRun(f"the options of the plan are refused: {error}") from error


def _refuse(*reasons: str) -> None:
    for reason in filter(None, reasons):
        raise NotRun(reason)


def _unable(plan: Plan, row: Filesystem, faults: Sequence[Fault], machine: Machine) -> Iterator[str]:
    for fault in faults:
        yield disk_missing(row, fault) or fault.missing(row, machine) or stalling(plan, row, fault)
    yield features_missing(plan, row)


def disk_missing(row: Filesystem, fault: Fault | type[Fault]) -> str:
    """Why a fault cannot be judged on a filesystem that has no disk, or does not recover from a crash, "" otherwise."""
    if row.volatile and (fault.targets or fault.may_lose_unsynced or (fault.canary and not fault.for_volatile)):
        return f"{row.name} has no disk, which fault {fault.name} needs"
    if not fault.may_lose_unsynced:
        return ""
    return row.unrecoverable or ("" if row.recovery else row.lacking("journal"))


def stalling(plan: Plan, row: Filesystem, fault: Fault) -> str:
    """Why a step of the plan would not return as long as the fault is in force, "" if all should."""
    steps = sorted({op.kind for worker in plan.workers for op in worker.ops} & set(STEPS))
    waiting = [step for step in steps if STEPS[step].awaits_metadata]
    if not (waiting and fault.refuses_metadata and row.lacking("gives-up")):
        return ""
    return f"{row.lacking('gives-up')}, as fault {fault.name} does, and {waiting[0]} waits for it"


def features_missing(plan: Plan, row: Filesystem) -> str:
    """The features that layouts and steps need, and the row does not claim, "" if it has them all."""
    needed = [(LAYOUTS[file.layout].needs, f"layout {file.layout}") for file in plan.files]
    steps = {op.kind for worker in plan.workers for op in worker.ops} & set(STEPS)
    needed += [(STEPS[step].needs, f"disturbance {step}") for step in sorted(steps)]
    lacking = [f"{row.lacking(feature)}, which {what} needs" for feature, what in needed if not row.has(feature)]
    return "; ".join(dict.fromkeys(lacking))


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
        workload.check_memlock(locked, attainable_memlock_bytes(plan.memlock_bytes)),
    )
    return "; ".join(filter(None, lacking))

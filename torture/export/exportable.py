"""What of a plan becomes a program: checked, with the words that comments, scripts and mails use for it. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from torture.errors import BadRequest
from torture.export.c_snippets import DISTURBANCES, PINS, PUTS, SYNCS
from torture.export.files import FILES
from torture.faults.base import TIMES
from torture.filesystems import Filesystem, filesystem
from torture.plan import Plan
from verify.finding import Finding
from workloads.plan import WorkerPlan

NONE, ENOSPC, EIO = "none", "enospc", "eio-writes"
POWER_CUT, REPLAY, KILL = "power-cut", "replay", "kill-workers"
FAULTS = (NONE, ENOSPC, EIO, POWER_CUT, REPLAY, KILL)
KINDS = ("lost", "late", "torn", "misdirected", "exposed", "corrupt", "unreadable", "short", "clone-changed")
DEFAULT_FREE_BLOCKS = 4

PROMISES = {
    "store": "A store that did not fault is there after a clean unmount and a remount, unless its loss was reported.",
    "sync": "Whatever fails after a successful sync, what was stored before it is there.",
    "isolation": "A store changes the pages that it stores to, in the file that it stores to, and nothing else.",
    "liveness": "Every store, sync, unmount and mount returns.",
}
LATE = (
    "A store that page_mkwrite accepted has its space: running out of it is told at the store (SIGBUS), not by the sync"
    " when the page is lost already."
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A plan that can be exported, and what it is exported for; `finding` is None for a plan that nobody ran."""

    plan: Plan
    finding: Finding | None
    filesystem: Filesystem

    @property
    def faults(self) -> frozenset[str]:
        """The faults by name."""
        return frozenset(fault.name for fault in self.plan.faults)

    @property
    def needs_flakey(self) -> bool:
        """Whether the disk must drop or refuse writes."""
        return bool(self.faults & {EIO, POWER_CUT})

    @property
    def needs_log(self) -> bool:
        """Whether all writes are logged, to make of the disk what a crash would have left."""
        return REPLAY in self.faults

    @property
    def crashes(self) -> bool:
        """Whether unsynced content may be lost."""
        return self.needs_flakey or self.needs_log

    @property
    def late_counts(self) -> bool:
        """Whether a loss that the sync reported is the failure."""
        return self.finding is None or self.finding.kind == "late"

    @property
    def gated(self) -> bool:
        """Whether a worker waits for the fault before it goes on."""
        return any(op.kind == "gate" for worker in self.plan.workers for op in worker.ops)

    @property
    def free_blocks(self) -> int | None:
        """Blocks to leave free, None if the filesystem is not to be filled."""
        for fault in self.plan.faults:
            if fault.name == ENOSPC:
                return int(fault.parameters.get("free_blocks", DEFAULT_FREE_BLOCKS))
        return None

    @property
    def size_mib(self) -> int:
        """The size of the filesystem."""
        return self.filesystem.size_mib

    @property
    def mkfs(self) -> str:
        """mkfs and its options, for a shell; the device is to follow."""
        return shlex.join((*self.filesystem.mkfs, *self.plan.mkfs_options))

    @property
    def mount_options(self) -> str:
        """Separated by commas."""
        return ",".join((*self.filesystem.mount_options, *self.plan.mount_options))

    @property
    def promise(self) -> str:
        """The promise that is broken, in a sentence or two."""
        if self.finding is None:
            return f"{PROMISES['store']} {PROMISES['sync']}"
        return LATE if self.finding.kind == "late" else PROMISES[self.finding.promise]

    @property
    def title(self) -> str:
        """What goes wrong, in one line."""
        return title(self.plan, self.finding)


def title(plan: Plan, finding: Finding | None) -> str:
    """What goes wrong, in one line, for subjects and comments."""
    if finding is None:
        return f"{plan.filesystem}: stores through shared mappings, {circumstance(plan)}"
    where = f" on {finding.layout} pages" if finding.layout else ""
    pinned = " of an mlocked mapping" if "lock" in finding.pin else ""
    return f"{plan.filesystem}: {_WRONG[finding.kind]}{where}{pinned}, {circumstance(plan)}"


_WRONG = {
    "lost": "accepted mmap stores silently lost",
    "late": "mmap stores accepted, then lost at writeback",
    "torn": "mmap stores torn",
    "misdirected": "mmap stores found elsewhere",
    "exposed": "stale disk content shows",
    "corrupt": "mmap stores corrupted",
    "unreadable": "content cannot be read back",
    "short": "file too short",
    "clone-changed": "mmap stores change a clone",
    "hang": "hang",
    "fsck": "inconsistent after mmap stores",
    "kernel": "kernel alarm",
    "unjudged": "odd pages",
}
_CIRCUMSTANCE = {
    NONE: "clean remount",
    ENOSPC: "filesystem full",
    POWER_CUT: "power cut",
    EIO: "writes fail with EIO",
    REPLAY: "crash before the next flush",
    KILL: "process killed",
}


def circumstance(plan: Plan) -> str:
    """The faults in words."""
    names = [fault.name for fault in plan.faults] or [NONE]
    return " and ".join(_CIRCUMSTANCE.get(name, f"fault {name}") for name in names)


def recipe(plan: Plan, finding: Finding | None) -> Recipe:
    """The recipe of a plan. BadRequest names the first thing in it that no program is written for."""
    if finding is not None and finding.kind not in KINDS:
        raise cannot(f"a finding of kind {finding.kind}")
    if finding is not None and finding.read == "warm":
        raise cannot("what only the warm read shows, as the program reads after a remount")
    for fault in plan.faults:
        if fault.name not in FAULTS:
            raise cannot(f"fault {fault.name}")
        if any(fault.parameters.get(name) for name in TIMES):
            raise cannot(f"fault {fault.name} that strikes at a time of its own")
    for file in plan.files:
        if file.layout not in FILES:
            raise cannot(f"layout {file.layout}")
    for worker in plan.workers:
        _check_worker(worker)
    return Recipe(plan, finding, filesystem(plan.filesystem))


def _check_worker(worker: WorkerPlan) -> None:
    for what, name, known in (("pin", worker.pin, PINS), ("access path", worker.access, PUTS)):
        if name not in known:
            raise cannot(f"{what} {name}")
    stored = False
    for op in worker.ops:
        stored |= op.kind == "store"
        if op.kind == "sync" and op.name not in SYNCS:
            raise cannot(f"sync {op.name}")
        if op.kind not in ("store", "sync", *DISTURBANCES):
            raise cannot(f"disturbance {op.kind}")
        if op.kind == "grow" and stored:
            raise cannot("extending a file after a store")


def cannot(what: str) -> BadRequest:
    """The error for what no program is written for."""
    return BadRequest(
        f"a program cannot be written for {what}", "shrink the plan first, or export it with --bundle or --mail"
    )

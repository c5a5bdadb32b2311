"""Checks that a program can be written for a plan, and has the words that programs, scripts and mails use for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from torture.errors import BadRequest
from torture.export import c_snippets
from torture.export.files import FILES
from torture.faults.base import TIMES
from torture.filesystems import Filesystem, filesystem
from torture.plan import Plan
from verify.finding import Finding
from workloads.pins import PINS
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
    "liveness": "Every store, pin, sync, unmount and mount returns.",
    "invented": "No filesystem accepts more than its device can hold.",
}
LATE = (
    "A store that page_mkwrite accepted has its space: running out of it is told at the store (SIGBUS), not by the sync"
    " when the page is lost already."
)


@dataclass(frozen=True, slots=True)
class Exportable:
    """A plan that a program can be written for; made by `of`."""

    plan: Plan
    finding: Finding | None
    """What the program is to show again; None for a plan that nobody ran."""
    filesystem: Filesystem

    @classmethod
    def of(cls, plan: Plan, finding: Finding | None, found: Iterable[str] = ()) -> Self:
        """`found` is what the filesystem was found to be (of the trial's record). BadRequest names the first thing in
        the plan or its finding that no program is written for."""
        if finding is not None:
            _check_finding(finding)
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
        return cls(plan, finding, filesystem(plan.filesystem).as_found(found))

    @property
    def faults(self) -> frozenset[str]:
        """The names of the faults."""
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
    def mkfs(self) -> tuple[str, ...]:
        """mkfs and its options; the device is to follow."""
        return (*self.filesystem.mkfs, *self.plan.mkfs_options)

    @property
    def mount_options(self) -> str:
        """What mount(8) is given with -o."""
        return ",".join((*self.filesystem.mount_options, *self.plan.mount_options))

    @property
    def promise(self) -> str:
        """The promise that is broken, in a sentence or two."""
        if self.finding is None:
            return f"{PROMISES['store']} {PROMISES['sync']}"
        return promise_of(self.finding)


def promise_of(finding: Finding) -> str:
    """The promise that a finding breaks, in words."""
    return LATE if finding.kind == "late" else PROMISES[finding.promise]


def title(plan: Plan, finding: Finding | None) -> str:
    """What goes wrong, in one line, for subjects and comments."""
    if finding is None:
        return f"{plan.filesystem}: stores through shared mappings, {circumstance(plan)}"
    pages = f" on {finding.layout} pages" if finding.layout else ""
    mapping = PINS[finding.pin].mapping if finding.pin in PINS else ""
    of_mapping = f" of {mapping}" if mapping else ""
    return f"{plan.filesystem}: {_WRONG[finding.kind]}{pages}{of_mapping}, {circumstance(plan)}"


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
    "overfull": "more accepted than the device holds",
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


def _check_finding(finding: Finding) -> None:
    if finding.kind not in KINDS:
        raise cannot(f"a finding of kind {finding.kind}")
    if finding.read == "warm":
        raise cannot("what only the warm read shows, as the program reads after a remount")


def _check_worker(worker: WorkerPlan) -> None:
    for what, name, known in (("pin", worker.pin, c_snippets.PINS), ("access path", worker.access, c_snippets.ACCESSES)):
        if name not in known:
            raise cannot(f"{what} {name}")
    stored = False
    for op in worker.ops:
        stored |= op.kind == "store"
        if op.kind == "sync" and op.name not in c_snippets.SYNCS:
            raise cannot(f"sync {op.name}")
        if op.kind not in ("store", "sync", *c_snippets.DISTURBANCES):
            raise cannot(f"disturbance {op.kind}")
        if op.kind == "grow" and stored:
            raise cannot("extending a file after a store")


def cannot(what: str) -> BadRequest:
    """The error for what no program is written for."""
    return BadRequest(
        f"a program cannot be written for {what}", "shrink the plan first, or export it with --bundle or --mail"
    )

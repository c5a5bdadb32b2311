"""What an experiment is: one row in a file of `torture.contract.clauses`. Pure.

An experiment is one file with one worker on it, in a plan that it shares with others (torture.contract.trials). Its judge
sees what the trial left of that file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from errno import errorcode
from typing import TypeAlias

from torture.contract.verdict import ClauseVerdict, Judgement
from torture.filesystems import Filesystem
from torture.plan import FaultSpec
from verify import ledger
from verify.finding import Finding
from workloads.plan import Op

PAGES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What happens to the files of a trial."""

    name: str
    faults: tuple[FaultSpec, ...]
    shared: bool = True
    """One trial has all experiments of the stage in both arms; otherwise each has one of its own in each arm, so that the
    fault proves itself for each."""
    in_turn: bool = True
    """The experiments of a trial are one process, which carries each to its end; otherwise all go on at the same time."""


_KILLED = FaultSpec("kill-workers", {})
_GROWN = FaultSpec("grown", {})
PLAIN = Stage("plain", (_KILLED, _GROWN))
"""Room enough; the workers are killed with everything mapped, and the unmount is clean."""
FULL = Stage("full", (FaultSpec("enospc", {"free_blocks": 0}), _KILLED))
POWER_CUT = Stage("power-cut", (FaultSpec("power-cut", {}), _GROWN))
EIO_WINDOW = Stage("eio-window", (FaultSpec("eio-window", {}),), shared=False)
EIO_DATA = Stage("eio-data", (FaultSpec("eio-once", {}),), shared=False)
FROZEN = Stage("frozen", (FaultSpec("frozen", {}),), in_turn=False)
UNREADABLE = Stage("eio-reads", (FaultSpec("eio-reads", {}),), shared=False)
OVER_QUOTA = Stage("quota", (FaultSpec("edquot-user", {"free_blocks": 0}),))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a trial left of one experiment."""

    records: tuple[ledger.Record, ...]
    """Of its worker, and the thaw, in the order of the ledger."""
    findings: tuple[Finding, ...] = ()
    """On its file and the clone of it."""

    @property
    def worker(self) -> ledger.Worker:
        """Who did it."""
        return next(record for record in self.records if isinstance(record, ledger.Worker))

    @property
    def pin(self) -> int:
        """The errno of the pin, of the last if there were several."""
        return [record.errno for record in self.records if isinstance(record, ledger.Pinned)][-1]

    @property
    def stores(self) -> int:
        """How many page stores there were."""
        return sum(record.pages for record in self.records if isinstance(record, ledger.Store))

    @property
    def faults(self) -> tuple[tuple[str, ...], ...]:
        """How pages were refused, store by store."""
        stored = (record for record in self.records if isinstance(record, ledger.Stored))
        return tuple(tuple(page.how for page in record.refused) for record in stored)

    @property
    def refused(self) -> int:
        """How many page stores were refused."""
        return sum(map(len, self.faults))

    @property
    def looks(self) -> tuple[ledger.Looked, ...]:
        """What the worker saw, each time it looked."""
        return tuple(record for record in self.records if isinstance(record, ledger.Looked))

    @property
    def alterations(self) -> tuple[int, ...]:
        """What resizing, punching and scribbling returned."""
        return tuple(record.errno for record in self.records if isinstance(record, ledger.Altered))

    def syncs(self) -> Iterator[tuple[str, int]]:
        """Kind and errno of each sync."""
        kind = ""
        for record in self.records:
            if isinstance(record, ledger.Sync):
                kind = record.kind
            elif isinstance(record, ledger.Synced):
                yield kind, record.errno

    def errors(self) -> list[str]:
        """The syncs that failed, in words."""
        return [f"{kind} {name_of(number)}" for kind, number in self.syncs() if number]


Judge: TypeAlias = Callable[["Experiment", Seen], Judgement]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One deterministic experiment of `clause`, called `name`: a file, and the steps of a worker on it."""

    clause: int
    name: str
    stage: Stage
    ops: tuple[Op, ...]
    judge: Judge
    layout: str = "hole"
    access: str = "store"
    pages: int = PAGES
    missing: Callable[[Filesystem], str] = lambda row: ""
    """Why it would say nothing of a filesystem, "" if it does; features that its steps need are seen to elsewhere."""

    @property
    def pin_may_fail(self) -> bool:
        """Whether mlock may fail to populate the mapping (the pages stay marked as locked): judged by clauses 1, 2 and 17
        themselves, and nobody's fault on a full filesystem."""
        return self.clause <= 2 or self.stage in (FULL, UNREADABLE)


def unpinned(experiment: Experiment, seen: Seen) -> Judgement | None:
    """What is to be said when the pin failed though it may not; None if it did not."""
    if seen.pin and not experiment.pin_may_fail:
        return Judgement(ClauseVerdict.unknown, f"mlock failed with {name_of(seen.pin)}: nothing was pinned")
    return None


def name_of(number: int) -> str:
    """An errno in words."""
    return errorcode.get(number, str(number)) if number else "0"


# -- steps of the rows -----------------------------------------------------------------------------------------------

STORE, BACKGROUND = Op("store"), Op("background")
MSYNC, FSYNC = Op("sync", name="msync"), Op("sync", name="fsync")
STRIKE, HEAL = Op("gate", name="strike"), Op("gate", name="heal")
MPROTECT, MREMAP, MUNLOCK, REOPEN = Op("mprotect"), Op("mremap"), Op("munlock"), Op("reopen")
LOOK = Op("look")

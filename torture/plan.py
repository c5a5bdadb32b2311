"""A plan: the whole recipe of one trial, as plain data.

Drawn by `torture.draw`, carried out by `torture.trial`, stored with every trial as JSON. The same plan gives the same
operations in the same order per worker on every machine.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from torture.errors import BadRequest
from verify import codec
from workloads.disturbances import DISTURBANCES
from workloads.plan import WorkerPlan

PLAN = "plan.json"
"""Name of a plan's file in the directory of its trial."""
MAX_PAGES = 1 << 18
"""Of a worker."""
MAX_WORKERS = 64
"""On a file."""
MAX_MEMLOCK_BYTES = 1 << 50


@dataclass(frozen=True, slots=True)
class FilePlan:
    """One file under test. A reflinked file brings its clone (see workloads.layouts)."""

    file: int
    """Its number, from 1 on, which its stamps name."""
    name: str
    """Within the directory of files; see torture.plan_check for what a name may be."""
    layout: str
    pages: int


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault that is to strike."""

    name: str
    """One of torture.faults.FAULTS."""
    parameters: Mapping[str, int | str]
    """Those that differ from the fault's defaults."""


@dataclass(frozen=True)
class Plan:
    """One trial."""

    seed: int
    filesystem: str
    files: tuple[FilePlan, ...]
    workers: tuple[WorkerPlan, ...]
    """The `path` of each is the name of its file."""
    faults: tuple[FaultSpec, ...] = ()
    """In the order in which they are armed."""
    mkfs_options: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    memlock_bytes: int = -1
    """RLIMIT_MEMLOCK of the workers, -1 for no limit."""
    page_bytes: int = mmap.PAGESIZE
    version: Literal[1] = 1
    one_process: bool = field(default=False, metadata=codec.OPTIONAL)
    """All workers are one process, and take their turns in it."""

    @cached_property
    def identity(self) -> str:
        """A name for exactly this recipe: equal plans, equal names."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @property
    def stamp_run(self) -> int:
        """The run number in the stamps (unsigned 64 bits): different for every other recipe."""
        return int(self.identity, 16)

    @property
    def is_control(self) -> bool:
        """Whether nothing is pinned: the arm that a pinned plan is compared with."""
        return all(worker.pin == "none" for worker in self.workers)

    @property
    def fault_names(self) -> str:
        """The faults, in the order they are armed, as the summary names them."""
        return "+".join(fault.name for fault in self.faults) or "none"

    def control(self) -> Plan:
        """The control arm: the same plan without the pins (and without what only makes sense for a pin)."""
        return replace(self, workers=tuple(map(_unpinned, self.workers)))

    def to_json(self) -> str:
        """One line of JSON with sorted keys."""
        return codec.encode(self, sort_keys=True)

    @staticmethod
    def from_json(text: str | bytes) -> Plan:
        """The inverse of `to_json`; BadRequest names the field that is not of the form it should have.

        Whether the words and numbers mean something is for torture.plan_check, which readers of plans go through.
        """
        try:
            return codec.decode(Plan, text)
        except codec.Malformed as error:
            raise BadRequest(error.wrong, error.allowed) from None


def _unpinned(worker: WorkerPlan) -> WorkerPlan:
    ops = (op for op in worker.ops if op.kind not in DISTURBANCES or DISTURBANCES[op.kind].suits("none"))
    return replace(worker, pin="none", ops=tuple(ops))

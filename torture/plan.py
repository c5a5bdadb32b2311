"""A plan: the whole recipe of one trial, as plain data.

Drawn by `torture.draw`, carried out by `torture.trial`, stored with every trial as JSON. The same plan gives the same
operations in the same order per worker on every machine.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torture.errors import BadRequest
from workloads.disturbances import DISTURBANCES
from workloads.plan import WorkerPlan

PLAN_VERSION = 1
PLAN = "plan.json"
"""Name of a plan's file in the directory of its trial."""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """One file under test: `pages` pages in `layout`. A reflinked file brings its clone (see workloads.layouts)."""

    file: int
    name: str
    layout: str
    pages: int


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault by its registered name, with its parameters (whole numbers, or words)."""

    name: str
    parameters: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Plan:
    """One trial. The `path` of a worker is a file's name; `memlock_bytes` its RLIMIT_MEMLOCK, -1 for no limit."""

    seed: int
    filesystem: str
    files: tuple[FilePlan, ...]
    workers: tuple[WorkerPlan, ...]
    faults: tuple[FaultSpec, ...] = ()
    mkfs_options: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    memlock_bytes: int = -1
    page_bytes: int = mmap.PAGESIZE
    version: int = PLAN_VERSION
    one_process: bool = False
    """All workers are one process, and take their turns in it. In JSON only if it is so: other plans keep their names."""

    @property
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
        """One line of JSON with sorted keys; `one_process` only if it is so."""
        raw = asdict(self)
        if not self.one_process:
            del raw["one_process"]
        return json.dumps(raw, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Plan:
        """The inverse of `to_json`; BadRequest names what is wrong in a plan that was edited."""
        try:
            raw = json.loads(text)
            if raw.get("version") != PLAN_VERSION:
                raise BadRequest(f"plan has version {raw.get('version')!r}", f"this tool reads version {PLAN_VERSION}")
            return _decode(raw)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadRequest(f"not a plan: {error!r}", "see `torture show RUN --plan` for the form of one") from error


def _unpinned(worker: WorkerPlan) -> WorkerPlan:
    ops = (op for op in worker.ops if op.kind not in DISTURBANCES or DISTURBANCES[op.kind].suits("none"))
    return replace(worker, pin="none", ops=tuple(ops))


def _decode(raw: dict[str, Any]) -> Plan:
    fields = dict(raw)
    fields["files"] = tuple(FilePlan(**file) for file in raw["files"])
    fields["workers"] = tuple(WorkerPlan.from_dict(worker) for worker in raw["workers"])
    fields["faults"] = tuple(FaultSpec(**fault) for fault in raw["faults"])
    fields["mkfs_options"] = tuple(raw["mkfs_options"])
    fields["mount_options"] = tuple(raw["mount_options"])
    return Plan(**fields)

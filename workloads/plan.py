"""What one worker is to do, as plain data: drawn by a plan, carried out by `workloads.operations`.

Pages are numbered in the file, not in the mapping. Nothing here looks names up: the registries of pins,
access paths, syncs and disturbances do when the worker starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Op:
    """One step of a worker.

    `kind` is "store" (pages first_page .. first_page + pages), "sync" (`name` names a row of
    `syncs.SYNCS`; no pages means everything the worker mapped), "gate" (waits until the parent releases
    the gate `name`) or a row of `probes.STEPS`.
    """

    kind: str
    first_page: int = 0
    pages: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker: the pages of one file that it owns and maps, how it pins and reaches them, and its steps.

    No two workers of a trial own the same page. Raises ValueError when the ranges make no sense.
    """

    worker: int
    file: int
    path: str
    first_page: int
    pages: int
    pin: str
    access: str
    ops: tuple[Op, ...]

    def __post_init__(self) -> None:
        if self.first_page < 0 or self.pages < 1:
            raise ValueError(f"worker {self.worker}: pages {self.first_page}+{self.pages} are no range")
        for op in self.ops:
            if op.pages and not self._owns(op):
                raise ValueError(f"worker {self.worker}: {op.kind} of pages outside its own, {op}")

    def _owns(self, op: Op) -> bool:
        end = self.first_page + self.pages
        return self.first_page <= op.first_page and op.pages > 0 and op.first_page + op.pages <= end

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WorkerPlan:
        """The inverse of dataclasses.asdict, from JSON too. Raises TypeError for a missing or unknown field."""
        ops = tuple(Op(**op) for op in values["ops"])
        return cls(**{**values, "ops": ops})

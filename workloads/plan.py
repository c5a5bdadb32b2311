"""What one worker is to do, as plain data: drawn by a plan, carried out by `workloads.operations`.

Pages are numbered in the file, not in the mapping. Nothing here looks names up: the registries of pins,
access paths, syncs and disturbances do when the worker starts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Op:
    """One step of a worker."""

    kind: str
    """`store`, `sync`, `gate` (wait until the parent releases it) or a row of `disturbances.DISTURBANCES`."""
    first_page: int = 0
    pages: int = 0
    """0, with `first_page` 0: everything that the worker maps."""
    name: str = ""
    """Of a sync its row in `syncs.SYNCS`, of a gate its own name."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker: the pages of one file that it owns and maps, how it pins and reaches them, and its steps.

    No two workers of a trial own the same page, and no step reaches beyond the worker's pages.
    """

    worker: int
    file: int
    path: str
    first_page: int
    pages: int
    pin: str
    access: str
    ops: tuple[Op, ...]

"""Disturbances: what a worker has happen to its file between its stores and syncs. One row of `DISTURBANCES` each.

A disturbance is a function of the mapped file, the plan's step and the ledger. One that legally changes content
records that before it acts (verify.ledger.Resize, Zeroed). Raises OSError when it cannot be done.
"""

from __future__ import annotations

from collections.abc import Callable

from verify.ledger import LedgerWriter
from workloads.mapped_file import MappedFile
from workloads.plan import Op
from workloads.writeback import write_back


def _background(mapped: MappedFile, op: Op, ledger: LedgerWriter) -> None:
    write_back(mapped)


DISTURBANCES: dict[str, Callable[[MappedFile, Op, LedgerWriter], None]] = {
    "background": _background,
}

"""Clause 13: who is told of a writeback error (Documentation/core-api/errseq.rst).

The error is planted by dm-flakey, which refuses writes while the pages of a written file are written back. Written
pages are overwritten in place or, on copy-on-write filesystems, allocated without touching the journal or superblock,
so that a window of milliseconds lets only data fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from devicemapper.table import Table
from torture.contract.actor import Hands, Told, background, msync, name_of, store
from torture.contract.experiment import Experiment
from torture.contract.stores import Refusal, Stores
from torture.contract.subject import Subject
from torture.contract.verdict import Judgement, Verdict
from torture.faults.io_errors.failing_writes import RefusedWrites, refusing
from torture.filesystems import Filesystem
from torture.rig.scene import Scene
from workloads import libc
from workloads.extents import extents

_ASKED = ("msync", "fsync", "syncfs")
_SECTOR_BYTES = 512
_JOURNALLED = "data=journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports(Experiment):
    """Store, let the writeback fail, then ask each of three descriptors that were open all along, twice.

    `by_sync`: the msync itself meets the error, on the file's own blocks; otherwise background writeback met it first,
    with nobody told.
    """

    layout: str = "written"
    by_sync: bool

    def missing(self, row: Filesystem) -> str:
        if self.by_sync and not row.has("in-place"):
            return f"{row.name} gives no place where only the data of a file is written"
        if _JOURNALLED in row.mount_options:
            return "data goes to the journal, where a refused write ends the filesystem"
        return ""

    def act(self, hands: Hands, scene: Scene) -> None:
        table = self._table(hands.subject, scene)  # before the store: FIEMAP writes back
        asked_last = os.open(hands.subject.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            hands.store()
            hands.told.evidence["refused"] = _while_refused(scene, table, lambda: self._write(hands))
            self._ask(hands, asked_last)
        finally:
            os.close(asked_last)

    def _write(self, hands: Hands) -> None:
        msync(hands) if self.by_sync else background(hands)

    def _ask(self, hands: Hands, asked_last: int) -> None:
        """The msync that met the error counts as the first."""
        for _ in range(2 - self.by_sync):
            msync(hands)
        for _ in range(2):
            hands.attempt("fsync", lambda: os.fsync(hands.mapped.other_descriptor))
        for _ in range(2):
            hands.attempt("syncfs", lambda: libc.syncfs(asked_last))

    def _table(self, subject: Subject, scene: Scene) -> Table:
        if not self.by_sync:
            return refusing(str(scene.disk), scene.length_sectors, [(0, scene.length_sectors)])
        places = [
            (extent.device_bytes // _SECTOR_BYTES, extent.length_bytes // _SECTOR_BYTES) for extent in extents(subject.path)
        ]
        return refusing(str(scene.disk), scene.length_sectors, places)

    def judge(self, subject: Subject, told: Told) -> Judgement:
        answers = {name: told.errnos(name) for name in _ASKED}
        words = "; ".join(f"{name} {', '.join(map(name_of, errnos))}" for name, errnos in answers.items())
        if not told.evidence["refused"]:
            return Judgement(Verdict.unknown, f"no data was written back while writes were refused ({words})")
        if not all(errnos[0] for errnos in answers.values()):
            return Judgement(Verdict.broken, f"not everybody is told: {words}")
        if any(errnos[1] for errnos in answers.values()):
            return Judgement(Verdict.differs, f"told more than once: {words}")
        return Judgement(Verdict.holds, words)


def _while_refused(scene: Scene, table: Table, call: Callable[[], None]) -> bool:
    """Make a call with another table in force; whether sectors were refused meanwhile (an empty flush has none)."""
    assert scene.mapped is not None
    usual = scene.mapped.table
    refused = RefusedWrites(scene)
    scene.mapped.exchange_table(table)
    try:
        call()
    finally:
        refused.stop()
        scene.mapped.exchange_table(usual)
    return refused.proof().fired


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportsFull(Stores):
    """What a full filesystem accepted at the store and lost in writeback is reported: here that is enough."""

    def missing(self, row: Filesystem) -> str:
        if row.has("reserves"):
            return f"{row.name} refuses stores when it is full, so that writeback has no error to report"
        return ""

    def judge(self, subject: Subject, told: Told) -> Judgement:
        judged = Stores.judge(self, subject, told)
        return replace(judged, verdict=Verdict.holds) if judged.verdict is Verdict.late else judged


EXPERIMENTS: tuple[Experiment, ...] = (
    Reports(clause=13, name="background", stage="eio", by_sync=False),
    Reports(clause=13, name="msync", stage="eio", by_sync=True),
    ReportsFull(
        clause=13,
        name="full-background",
        stage="full",
        steps=(store, background, msync),
        refusal=Refusal.DUE,
    ),
)

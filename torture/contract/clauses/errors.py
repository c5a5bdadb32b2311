"""Clause 13: who is told of a writeback error (Documentation/core-api/errseq.rst).

The error is planted by dm-flakey, which refuses writes while the pages of a written file are written back. Written
pages are overwritten in place or, on copy-on-write filesystems, allocated without touching the journal or superblock,
so that a window of milliseconds lets only data fail.
"""

from __future__ import annotations

from torture.contract.experiment import (
    BACKGROUND,
    EIO_DATA,
    EIO_WINDOW,
    FULL,
    HEAL,
    MSYNC,
    STORE,
    STRIKE,
    Experiment,
    Seen,
    name_of,
)
from torture.contract.stores import reported
from torture.contract.verdict import ClauseVerdict, Judgement
from torture.filesystems import Filesystem
from workloads.plan import Op

_ASKED = ("msync", "fsync", "syncfs")
_FSYNC_OTHER, _SYNCFS = Op("sync", name="fsync-other"), Op("sync", name="syncfs")
_ASK_TWICE = (MSYNC, MSYNC, _FSYNC_OTHER, _FSYNC_OTHER, _SYNCFS, _SYNCFS)
"""Each has a cursor of its own: the file's of two descriptors, and the filesystem's (struct file, f_wb_err, f_sb_err)."""
_JOURNALLED = "data=journal"


def _told_once(experiment: Experiment, seen: Seen) -> Judgement:
    """Everybody is told, and nobody twice."""
    answers = {asked: [number for kind, number in seen.syncs() if kind == asked] for asked in _ASKED}
    words = "; ".join(f"{name} {', '.join(map(name_of, errnos))}" for name, errnos in answers.items())
    if not all(errnos[0] for errnos in answers.values()):
        return Judgement(ClauseVerdict.broken, f"not everybody is told: {words}")
    if any(errnos[1] for errnos in answers.values()):
        return Judgement(ClauseVerdict.differs, f"told more than once: {words}")
    return Judgement(ClauseVerdict.holds, words)


def _journalled(row: Filesystem) -> str:
    is_journalled = _JOURNALLED in row.mount_options
    return "data goes to the journal, where a refused write ends the filesystem" if is_journalled else ""


def _reserving(row: Filesystem) -> str:
    refuses = row.has("reserves")
    return f"{row.name} refuses stores when it is full, so that writeback has no error to report" if refuses else ""


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(
        clause=13,
        name="background",
        stage=EIO_WINDOW,
        layout="written",
        ops=(STORE, STRIKE, BACKGROUND, HEAL, *_ASK_TWICE),
        judge=_told_once,
        missing=_journalled,
    ),
    Experiment(
        clause=13,
        name="msync",
        stage=EIO_DATA,
        layout="written",
        ops=(STRIKE, STORE, MSYNC, HEAL, *_ASK_TWICE[1:]),
        judge=_told_once,
        missing=_journalled,
    ),
    Experiment(
        clause=13,
        name="full-background",
        stage=FULL,
        ops=(STORE, BACKGROUND, MSYNC),
        judge=reported,
        missing=_reserving,
    ),
)

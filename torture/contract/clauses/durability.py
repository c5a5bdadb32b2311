"""Clauses 4 to 8, 11, 12 and 16: what was accepted stays, through remounts, power cuts and full filesystems.

All of them rows: the layout, the stage that ends it, and the steps.
"""

from __future__ import annotations

import mmap

from torture.contract.experiment import (
    BACKGROUND,
    FULL,
    LOOK,
    MPROTECT,
    MREMAP,
    MSYNC,
    MUNLOCK,
    PLAIN,
    POWER_CUT,
    REOPEN,
    STORE,
    Experiment,
    Seen,
)
from torture.contract.stores import Refusal, stores
from torture.contract.verdict import CONTROL, ClauseVerdict, Judgement
from workloads.plan import Op

_KERNEL_MODE = ("read", "readv", "process-vm-writev", "proc-mem", "direct-read")


def _plain(clause: int, name: str, layout: str, *ops: Op, access: str = "store") -> Experiment:
    return Experiment(clause=clause, name=name, stage=PLAIN, layout=layout, access=access, ops=ops, judge=stores())


def _full(
    clause: int, name: str, layout: str, *ops: Op, access: str = "store", refusal: Refusal = Refusal.DUE
) -> Experiment:
    name, judge = f"full-{name}", stores(refusal)
    return Experiment(clause=clause, name=name, stage=FULL, layout=layout, access=access, ops=ops, judge=judge)


def _cut(clause: int, name: str, layout: str, *ops: Op, access: str = "store") -> Experiment:
    name = f"cut-{name}"
    return Experiment(clause=clause, name=name, stage=POWER_CUT, layout=layout, access=access, ops=ops, judge=stores())


def _lock_stays(experiment: Experiment, seen: Seen) -> Judgement:
    """mremap and mprotect keep the lock, fork does not hand it on (mlock(2), NOTES; kernel/fork.c, dup_mmap)."""
    child, before, moved, unlocked = (look.locked_kib for look in seen.looks)
    lost, own = before - moved, before - unlocked
    due = 0 if seen.worker.pin == CONTROL else seen.worker.pages * mmap.PAGESIZE >> 10
    if child or lost or own != due:
        words = f"{child} KiB locked in a forked child, {lost} KiB lost by mremap and mprotect, {own} KiB of {due}"
        return Judgement(ClauseVerdict.broken, f"{words} unlocked by munlock")
    return Judgement(ClauseVerdict.holds, f"{own} KiB locked, kept by mremap and mprotect, 0 in a forked child")


EXPERIMENTS: tuple[Experiment, ...] = (
    *(_plain(4, layout, layout, STORE) for layout in ("hole", "unwritten", "written")),
    *(_full(4, layout, layout, STORE, MSYNC) for layout in ("hole", "written")),
    *(_cut(5, layout, layout, STORE, MSYNC) for layout in ("hole", "unwritten", "written")),
    _plain(6, "unwritten", "unwritten", STORE, MSYNC),
    _full(6, "unwritten", "unwritten", STORE, MSYNC, refusal=Refusal.DIFFERS),
    _cut(7, "msync", "hole", STORE, MSYNC, STORE, MSYNC),
    _cut(7, "background", "hole", STORE, BACKGROUND, STORE, MSYNC),
    _cut(7, "written", "written", STORE, MSYNC, STORE, MSYNC),
    _plain(8, "reflinked", "reflinked", STORE, MSYNC),
    _full(8, "reflinked", "reflinked", STORE, MSYNC),
    Experiment(
        clause=11,
        name="lock",
        stage=PLAIN,
        ops=(Op("look-in-child"), LOOK, MREMAP, MPROTECT, LOOK, MUNLOCK, LOOK),
        judge=_lock_stays,
    ),
    *(
        row
        for name, op in (("mprotect", MPROTECT), ("mremap", MREMAP))
        for row in (
            _full(11, name, "hole", op, STORE, MSYNC),
            _cut(11, name, "hole", STORE, MSYNC, op, STORE, MSYNC),
        )
    ),
    _full(11, "fork", "hole", STORE, MSYNC, access="forked-child"),
    _cut(11, "fork", "hole", STORE, MSYNC, STORE, MSYNC, access="forked-child"),
    *(
        row
        for name in _KERNEL_MODE
        for row in (
            _plain(12, name, "hole", STORE, access=name),
            _full(12, name, "hole", STORE, MSYNC, access=name),
            _cut(12, name, "hole", STORE, MSYNC, STORE, MSYNC, access=name),
        )
    ),
    *(
        row
        for make in (_plain, _full)
        for row in (
            make(16, "munlock", "hole", STORE, MUNLOCK),
            make(16, "munmap-close", "hole", STORE, REOPEN),
            make(16, "exit", "hole", STORE),
        )
    ),
)

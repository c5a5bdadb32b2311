"""Clauses 4 to 8, 11, 12 and 16: what was accepted stays, through remounts, power cuts and full filesystems.

All of them rows: the layout, the stage that ends it, and the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torture.contract.actor import (
    Hands,
    Step,
    StoreBy,
    Told,
    background,
    end,
    move,
    msync,
    munlock,
    protect_and_back,
    store,
)
from torture.contract.experiment import Experiment
from torture.contract.stores import POWER_CUT, Refusal, Stores
from torture.contract.subject import Subject
from torture.contract.verdict import CONTROL, Judgement, Verdict
from torture.rig.scene import Scene
from workloads import libc
from workloads.children import in_child

PLAIN, FULL = "plain", "full"

_KERNEL_MODE = ("read", "readv", "process-vm-writev", "proc-mem", "direct-read")


def _plain(clause: int, name: str, layout: str, *steps: Step, exits: bool = False) -> Stores:
    return Stores(clause=clause, name=name, stage=PLAIN, layout=layout, steps=steps, exits=exits)


def _full(clause: int, name: str, layout: str, *steps: Step, exits: bool = False) -> Stores:
    return Stores(
        clause=clause, name=f"full-{name}", stage=FULL, layout=layout, steps=steps, refusal=Refusal.DUE, exits=exits
    )


def _cut(clause: int, name: str, layout: str, *steps: Step) -> Stores:
    return Stores(clause=clause, name=f"cut-{name}", stage=POWER_CUT, layout=layout, steps=steps)


def _locked_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmLck:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockStays(Experiment):
    """mremap and mprotect keep the lock, fork does not hand it on (mlock(2), NOTES; kernel/fork.c, dup_mmap)."""

    def act(self, hands: Hands, scene: Scene) -> None:
        seen = hands.told.evidence
        seen["child_kib"] = in_child(_locked_kib)
        before = _locked_kib()
        move(hands)
        protect_and_back(hands)
        seen["lost_kib"] = before - _locked_kib()
        libc.errno_of(lambda: munlock(hands))
        seen["own_kib"] = before - _locked_kib()

    def judge(self, subject: Subject, told: Told) -> Judgement:
        child, lost, own = (told.evidence[key] for key in ("child_kib", "lost_kib", "own_kib"))
        due = 0 if subject.pin == CONTROL else subject.size_bytes >> 10
        if child or lost or own != due:
            words = f"{child} KiB locked in a forked child, {lost} KiB lost by mremap and mprotect, {own} KiB of {due}"
            return Judgement(Verdict.broken, f"{words} unlocked by munlock")
        return Judgement(Verdict.holds, f"{own} KiB locked, kept by mremap and mprotect, 0 in a forked child")


_fork = StoreBy("forked-child")

EXPERIMENTS: tuple[Experiment, ...] = (
    *(_plain(4, layout, layout, store) for layout in ("hole", "unwritten", "written")),
    *(_full(4, layout, layout, store, msync) for layout in ("hole", "written")),
    *(_cut(5, layout, layout, store, msync) for layout in ("hole", "unwritten", "written")),
    _plain(6, "unwritten", "unwritten", store, msync),
    Stores(
        clause=6,
        name="full-unwritten",
        stage=FULL,
        layout="unwritten",
        steps=(store, msync),
        refusal=Refusal.DIFFERS,
    ),
    _cut(7, "msync", "hole", store, msync, store, msync),
    _cut(7, "background", "hole", store, background, store, msync),
    _cut(7, "written", "written", store, msync, store, msync),
    _plain(8, "reflinked", "reflinked", store, msync),
    _full(8, "reflinked", "reflinked", store, msync),
    LockStays(clause=11, name="lock", stage=PLAIN),
    *(
        row
        for name, step in (("mprotect", protect_and_back), ("mremap", move))
        for row in (
            _full(11, name, "hole", step, store, msync),
            _cut(11, name, "hole", store, msync, step, store, msync),
        )
    ),
    _full(11, "fork", "hole", _fork, msync),
    _cut(11, "fork", "hole", store, msync, _fork, msync),
    *(
        row
        for name in _KERNEL_MODE
        for row in (
            _plain(12, name, "hole", StoreBy(name)),
            _full(12, name, "hole", StoreBy(name), msync),
            _cut(12, name, "hole", StoreBy(name), msync, StoreBy(name), msync),
        )
    ),
    *(
        row
        for make in (_plain, _full)
        for row in (
            make(16, "munlock", "hole", store, munlock),
            make(16, "munmap-close", "hole", store, end),
            make(16, "exit", "hole", store, exits=True),
        )
    ),
)

"""Clause 14: a frozen filesystem (ioctl FIFREEZE, fs/super.c) takes no store until it is thawed."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from devicemapper.block_stat import block_stat
from torture.contract.actor import Hands, Told, msync, store
from torture.contract.experiment import Experiment
from torture.contract.stores import Refusal, judge_stores
from torture.contract.subject import ZERO, Subject
from torture.contract.verdict import Judgement, Verdict
from torture.rig.scene import Scene
from torture.trial import requirements
from workloads import libc
from workloads.children import Child
from workloads.unsupported import refusable

_TIMEOUT_S = 30.0
_SECTORS_WRITTEN = 6
_PAUSE_S = 0.05
_READY, _GO, _STORED = b"r", b"g", b"s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits(Experiment):
    """The fault of a store waits in sb_start_pagefault. `again`: the page was stored to before, and is clean only
    because the freeze wrote it back."""

    again: bool

    def act(self, hands: Hands, scene: Scene) -> None:
        hands.end()
        said, go = os.pipe(), os.pipe()
        child = Child(lambda: self._store_when_told(hands.subject, said[1], go[0]))
        try:
            os.read(said[0], 1)
            with _frozen(scene.mount_point):
                before = block_stat(scene.block_device)[_SECTORS_WRITTEN]
                os.write(go[1], _GO)
                waits = _waits(child.pid, said[0])
                written = block_stat(scene.block_device)[_SECTORS_WRITTEN] - before
            hands.told = Told(**child.result())
            hands.told.evidence.update(waits=waits, sectors_written=written)
        finally:
            child.end()
            for descriptor in (*said, *go):
                os.close(descriptor)

    def _store_when_told(self, subject: Subject, said: int, go: int) -> dict[str, object]:
        hands = Hands(subject)
        if self.again:
            store(hands)
        os.write(said, _READY)
        os.read(go, 1)
        store(hands)
        os.write(said, _STORED)
        msync(hands)
        return asdict(hands.told)

    def judge(self, subject: Subject, told: Told) -> Judgement:
        if told.evidence["waits"] is None:
            return Judgement(Verdict.unknown, f"the store was neither done nor blocked within {_TIMEOUT_S:g} s")
        if not told.evidence["waits"]:
            return Judgement(Verdict.broken, "the store went on while the filesystem was frozen")
        if told.evidence["sectors_written"]:
            return Judgement(Verdict.broken, f"{told.evidence['sectors_written']} sectors were written while frozen")
        judged = judge_stores(subject.looks(), told, base=ZERO, crash=False, refusal=Refusal.WRONG)
        return Judgement(judged.verdict, f"waits, nothing is written; after the thaw {judged.words}")


@contextmanager
def _frozen(mount_point: Path) -> Iterator[None]:
    descriptor = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with refusable("freeze"):
            libc.freeze(descriptor)
        try:
            yield
        finally:
            libc.thaw(descriptor)
    finally:
        os.close(descriptor)


def _waits(pid: int, said: int) -> bool | None:
    """Whether the store blocks; False as soon as it is done, None if neither is seen in time. The msync that follows may
    block as well, so that being blocked says something only before the store is done."""
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        blocked = requirements.is_blocked(pid)
        if select.select([said], [], [], 0)[0]:
            return False
        if blocked:
            return True
        time.sleep(_PAUSE_S)
    return None


EXPERIMENTS: tuple[Experiment, ...] = (
    Waits(clause=14, name="first", stage="freeze", again=False),
    Waits(clause=14, name="again", stage="freeze", again=True),
)

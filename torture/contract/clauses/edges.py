"""Clauses 9 and 10: the end of the file, and pages whose blocks are taken away."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

from torture.contract import subject as looks
from torture.contract.actor import Hands, Told, name_of
from torture.contract.experiment import Experiment
from torture.contract.stores import POWER_CUT, counted
from torture.contract.subject import Subject
from torture.contract.verdict import Judgement, Verdict
from torture.rig.scene import Scene
from workloads import libc
from workloads.access import UserStore
from workloads.unsupported import refusable

_LAST_BYTES = 1000
"""How much of the last page belongs to the file."""


class _StorePastEnd(UserStore):
    """The bytes of the last page that do not belong to the file."""

    def reach(self) -> tuple[int, int]:
        return _LAST_BYTES, self.mapped.page_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEnd(Experiment):
    """ "The system shall never write out any modified portions of the last page of an object which are beyond its end",
    and extending it gives zeros (POSIX, mmap; mmap(2)). `synced`: by msync, before the extension. `extends`: while it
    is mapped, otherwise after the remount."""

    synced: bool
    extends: bool

    def prepare(self, subject: Subject) -> None:
        subject.create("written")
        os.truncate(subject.path, self._size_bytes(subject))

    def act(self, hands: Hands, scene: Scene) -> None:
        last = hands.subject.pages - 1
        refused = _StorePastEnd(hands.mapped).store(last, 1, memoryview(b"\xee" * hands.subject.page_bytes))
        hands.told.evidence["refused"] = len(refused)
        if self.synced:
            hands.sync("msync")
        if self.extends:
            os.truncate(hands.subject.path, hands.subject.size_bytes)
            hands.told.evidence["warm"] = _strays(hands.subject)

    def judge(self, subject: Subject, told: Told) -> Judgement:
        if not self.extends:
            os.truncate(subject.path, subject.size_bytes)
        warm, cold = told.evidence.get("warm", 0), _strays(subject)
        if told.evidence["refused"] or any(told.errnos("msync")):
            return Judgement(Verdict.broken, "the store or its msync was refused though there is room")
        if warm or cold:
            seen = [f"{warm} at once" if warm else "", f"{cold} after the remount" if cold else ""]
            words = " and ".join(filter(None, seen))
            return Judgement(Verdict.broken, f"after the extension, bytes stored past the end are not zero: {words}")
        return Judgement(Verdict.holds, "zeros past the old end after the extension")

    def _size_bytes(self, subject: Subject) -> int:
        return subject.size_bytes - subject.page_bytes + _LAST_BYTES


def _strays(subject: Subject) -> int:
    """Bytes past the old end that are not zero."""
    with open(subject.path, "rb", buffering=0) as file:
        tail = os.pread(file.fileno(), subject.page_bytes, (subject.pages - 1) * subject.page_bytes + _LAST_BYTES)
    return len(tail) - tail.count(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenAway(Experiment):
    """Truncate and punch unmap the pages, locked or not (mm/truncate.c, truncate_pagecache_range), so that the next
    touch faults: SIGBUS past the end, zeros within, and the store after that is asked for anew.

    `punches`, or truncates to nothing and extends again. `stores` once more, or leaves it at that.
    """

    punches: bool
    stores: bool

    def act(self, hands: Hands, scene: Scene) -> None:
        hands.store()
        hands.sync("msync")
        if self.punches:
            _punch(hands)
        else:
            os.ftruncate(hands.mapped.descriptor, 0)
            hands.store()
            os.ftruncate(hands.mapped.descriptor, hands.subject.size_bytes)
        dead = Counter(bytes(hands.mapped.view[:]))
        hands.told.evidence["dead_bytes"] = dead.total() - dead[0]
        if self.stores:
            hands.store()
        hands.sync("msync")

    def judge(self, subject: Subject, told: Told) -> Judgement:
        stores = [event for event in told.events if event[0] == "store"]
        refused = [len(event[2]) for event in stores]
        due = [0, *([] if self.punches else [subject.pages]), *([0] if self.stores else [])]
        failed = [name_of(number) for number in told.errnos("msync") if number]
        wanted = str(stores[-1][1]) if self.stores else looks.ZERO
        wrong = Counter(look for look in subject.looks() if look != wanted)
        story = f"refused of {subject.pages} in each store: {refused}"
        if told.evidence["dead_bytes"]:
            return Judgement(Verdict.broken, f"{told.evidence['dead_bytes']} bytes came back in the mapping")
        if refused != due or failed:
            return Judgement(Verdict.broken, f"{story} instead of {due}; {', '.join(failed) or 'msync 0'}")
        if wrong:
            return Judgement(Verdict.broken, f"{story}; after the remount {counted(wrong)}")
        return Judgement(Verdict.holds, f"{story}; zeros in between{', the last store kept' * self.stores}")


def _punch(hands: Hands) -> None:
    with refusable("punch hole"):
        mode = libc.FALLOC_FL_PUNCH_HOLE | libc.FALLOC_FL_KEEP_SIZE
        libc.fallocate(hands.mapped.descriptor, mode, 0, hands.subject.size_bytes)


EXPERIMENTS: tuple[Experiment, ...] = (
    PastEnd(clause=9, name="remount", stage="plain", pages=2, synced=True, extends=False),
    PastEnd(clause=9, name="cut", stage=POWER_CUT, pages=2, synced=True, extends=False),
    PastEnd(clause=9, name="extend", stage="plain", pages=2, synced=False, extends=True),
    PastEnd(clause=9, name="msync-extend", stage="plain", pages=2, synced=True, extends=True),
    *(
        TakenAway(clause=10, name=f"{how}{again}", stage="plain", punches=how == "punch", stores=bool(again))
        for how in ("truncate", "punch")
        for again in ("", "-store")
    ),
)

"""Clauses 1 to 3: what mlock does, and does not do, to the pages of a file."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from torture.contract.actor import Hands, Told, background, msync, name_of, store
from torture.contract.experiment import Experiment
from torture.contract.stores import Refusal, Stores
from torture.contract.subject import ZERO, Subject
from torture.contract.verdict import CONTROL, Judgement, Verdict
from torture.rig.scene import Scene

_CLEAN_REFUSALS = (errno.ENOMEM, errno.EAGAIN)
_BLOCK_BYTES = 512


def _touch(hands: Hands) -> None:
    """Populate the mapping by reads: what the control arm does where the other pins."""
    subject = hands.subject
    hands.told.evidence["first_bytes"] = [hands.mapped.view[page * subject.page_bytes] for page in range(subject.pages)]


def _allocation(hands: Hands) -> dict[str, int]:
    """What a hole is known by: 512-byte blocks, mtime in ns, first data offset (-1: none)."""
    descriptor = hands.mapped.descriptor
    status = os.fstat(descriptor)
    return {"blocks": status.st_blocks, "mtime_ns": status.st_mtime_ns, "first_data": _first_data(descriptor)}


def _first_data(descriptor: int) -> int:
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return -1


def _mapping_kib(address: int) -> dict[str, int]:
    """Sizes of the mapping that begins at an address, in KiB, from /proc/self/smaps (proc(5))."""
    begins, found = f"{address:x}-", {}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split()[0]
        if not head.endswith(":"):
            inside = line.lstrip("0").startswith(begins)
        elif inside and line.endswith(" kB"):
            found[head[:-1]] = int(line.split()[1])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavesHole(Experiment):
    """mlock populates by read faults (mm/gup.c, populate_vma_page_range): a hole stays a clean hole."""

    def prepare(self, subject: Subject) -> None:
        subject.create(self.layout)
        os.utime(subject.path, ns=(0, 0))

    def act(self, hands: Hands, scene: Scene) -> None:
        if hands.subject.pin == CONTROL:
            _touch(hands)
        kib = _mapping_kib(hands.mapped.address)
        hands.told.evidence["kib"] = {key: kib.get(key, 0) for key in ("Rss", "Shared_Dirty", "Private_Dirty")}
        os.fsync(hands.mapped.descriptor)
        hands.told.evidence["after"] = _allocation(hands)

    def judge(self, subject: Subject, told: Told) -> Judgement:
        kib, after = told.evidence["kib"], told.evidence["after"]
        dirty = kib["Shared_Dirty"] + kib["Private_Dirty"]
        changes = [
            *([f"{dirty} KiB of the mapping are dirty"] if dirty else []),
            *([f"{after['blocks']} blocks of {_BLOCK_BYTES} bytes allocated"] if after["blocks"] else []),
            *(["mtime changed"] if after["mtime_ns"] else []),
        ]
        if changes:
            return Judgement(Verdict.broken, "; ".join(changes))
        if told.pin:
            return Judgement(Verdict.broken, f"mlock of a hole failed with {name_of(told.pin)}")
        return Judgement(Verdict.holds, f"{kib['Rss']} KiB resident, none dirty, nothing allocated, mtime unchanged")


@dataclass(frozen=True, slots=True, kw_only=True)
class PinsWithoutRoom(Experiment):
    """A read fault of a hole needs no block, so mlock has no reason to fail; if it does, then as mlock(2) says."""

    def act(self, hands: Hands, scene: Scene) -> None:
        _touch(hands)

    def judge(self, subject: Subject, told: Told) -> Judgement:
        done = "mlock succeeds" if subject.pin != CONTROL else "reads succeed"
        if any(told.evidence["first_bytes"]):
            return Judgement(Verdict.broken, f"{done}, and a hole reads as something else than zeros")
        if told.pin in _CLEAN_REFUSALS:
            return Judgement(Verdict.differs, f"mlock fails cleanly with {name_of(told.pin)}")
        return Judgement(Verdict.broken if told.pin else Verdict.holds, f"{done} (errno {name_of(told.pin)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserves(Experiment):
    """The first store calls ->page_mkwrite, which must allocate or reserve the block: then st_blocks counts it."""

    def act(self, hands: Hands, scene: Scene) -> None:
        hands.store()
        hands.told.evidence["blocks"] = os.fstat(hands.mapped.descriptor).st_blocks

    def judge(self, subject: Subject, told: Told) -> Judgement:
        blocks, due = told.evidence["blocks"], subject.size_bytes // _BLOCK_BYTES
        if told.refused:
            return Judgement(Verdict.broken, f"{told.refused} of {subject.pages} stores refused though there is room")
        if blocks >= due:
            return Judgement(Verdict.holds, f"{blocks} blocks of {_BLOCK_BYTES} bytes taken at the store")
        lost = sum(look == ZERO for look in subject.looks())
        words = f"{blocks} of {due} blocks of {_BLOCK_BYTES} bytes taken at the store"
        return Judgement(Verdict.broken if lost else Verdict.late, f"{words}; {lost} pages lost after the remount")


EXPERIMENTS: tuple[Experiment, ...] = (
    LeavesHole(clause=1, name="hole", stage="plain"),
    PinsWithoutRoom(clause=2, name="hole", stage="full"),
    Reserves(clause=3, name="room", stage="plain"),
    *(
        Stores(clause=3, name=f"full-{name}", stage="full", steps=steps, refusal=Refusal.DUE, pages=16)
        for name, steps in (("msync", (store, msync)), ("background", (store, background, msync)))
    ),
)

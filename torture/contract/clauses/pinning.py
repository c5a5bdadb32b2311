"""Clauses 1 to 3 and 17: what mlock does, and does not do, to the pages of a file."""

from __future__ import annotations

import errno
import mmap
from dataclasses import replace

from torture.contract.experiment import (
    BACKGROUND,
    FSYNC,
    FULL,
    HEAL,
    LOOK,
    MSYNC,
    PLAIN,
    STORE,
    UNREADABLE,
    Experiment,
    Seen,
    name_of,
)
from torture.contract.stores import Refusal, counted, stores
from torture.contract.verdict import CONTROL, ClauseVerdict, Judgement
from workloads.plan import Op

_CLEAN_REFUSALS = (errno.ENOMEM, errno.EAGAIN)
_BLOCK_BYTES = 512


def _leaves_hole(experiment: Experiment, seen: Seen) -> Judgement:
    """mlock populates by read faults (mm/gup.c, populate_vma_page_range): a hole stays a clean hole."""
    mapped, synced = seen.looks
    changes = [
        *([f"{mapped.dirty_kib} KiB of the mapping are dirty"] if mapped.dirty_kib else []),
        *([f"{synced.blocks} blocks of {_BLOCK_BYTES} bytes allocated"] if synced.blocks else []),
        *(["mtime changed"] if synced.mtime_ns else []),
    ]
    if changes:
        return Judgement(ClauseVerdict.broken, "; ".join(changes))
    if seen.pin:
        return Judgement(ClauseVerdict.broken, f"mlock of a hole failed with {name_of(seen.pin)}")
    words = f"{mapped.resident_kib} KiB resident, none dirty, nothing allocated, mtime unchanged"
    return Judgement(ClauseVerdict.holds, words)


def _pins_without_room(experiment: Experiment, seen: Seen) -> Judgement:
    """A read fault of a hole needs no block, so mlock has no reason to fail; if it does, then as mlock(2) says."""
    done = "reads succeed" if seen.worker.pin == CONTROL else "mlock succeeds"
    if seen.looks[0].nonzero_bytes:
        return Judgement(ClauseVerdict.broken, f"{done}, and a hole reads as something else than zeros")
    if seen.pin in _CLEAN_REFUSALS:
        return Judgement(ClauseVerdict.differs, f"mlock fails cleanly with {name_of(seen.pin)}")
    if seen.pin:
        return Judgement(ClauseVerdict.broken, f"mlock fails with {name_of(seen.pin)}")
    return Judgement(ClauseVerdict.holds, done)


def _reserves(experiment: Experiment, seen: Seen) -> Judgement:
    """The first store calls ->page_mkwrite, which must allocate or reserve the block: then st_blocks counts it.

    What becomes of a page that has its block is clause 4.
    """
    blocks, due = seen.looks[0].blocks, experiment.pages * mmap.PAGESIZE // _BLOCK_BYTES
    if seen.refused:
        return Judgement(ClauseVerdict.broken, f"{seen.refused} of {seen.stores} stores refused though there is room")
    words = f"{blocks} of {due} blocks of {_BLOCK_BYTES} bytes taken at the store"
    if blocks >= due:
        return Judgement(ClauseVerdict.holds, words)
    if seen.findings:
        return Judgement(ClauseVerdict.broken, f"{words}; {counted(seen.findings)}")
    return Judgement(ClauseVerdict.late, words)


def _fails_in_time(experiment: Experiment, seen: Seen) -> Judgement:
    """A read that fails is no reason to try for ever (liveness): mlock(2) says ENOMEM, a store gets SIGBUS."""
    if hangs := [finding.found for finding in seen.findings if finding.kind == "hang"]:
        return Judgement(ClauseVerdict.broken, hangs[0])
    if seen.worker.pin != CONTROL and not seen.pin:
        return Judgement(ClauseVerdict.broken, "mlock succeeds though nothing can be read")
    judged = stores(Refusal.DUE)(experiment, seen)
    failed = "" if seen.worker.pin == CONTROL else f"mlock fails with {name_of(seen.pin)}, "
    return replace(judged, words=f"{failed}{judged.words}")


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(clause=1, name="hole", stage=PLAIN, ops=(Op("age"), LOOK, FSYNC, LOOK), judge=_leaves_hole),
    Experiment(clause=2, name="hole", stage=FULL, ops=(LOOK,), judge=_pins_without_room),
    Experiment(clause=3, name="room", stage=PLAIN, ops=(STORE, LOOK), judge=_reserves),
    *(
        Experiment(clause=3, name=f"full-{name}", stage=FULL, ops=ops, judge=stores(Refusal.DUE), pages=16)
        for name, ops in (("msync", (STORE, MSYNC)), ("background", (STORE, BACKGROUND, MSYNC)))
    ),
    Experiment(
        clause=17,
        name="unreadable",
        stage=UNREADABLE,
        layout="written",
        ops=(STORE, HEAL, STORE, MSYNC),
        judge=_fails_in_time,
    ),
)

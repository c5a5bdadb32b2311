"""Clause 14: a frozen filesystem (ioctl FIFREEZE, fs/super.c) takes no store until it is thawed.

The fault of a store waits in sb_start_pagefault. In the second experiment the page was stored to before, and is clean only
because the freeze wrote it back.
"""

from __future__ import annotations

from torture.contract.experiment import FROZEN, MSYNC, STORE, STRIKE, Experiment, Seen
from torture.contract.stores import stores
from torture.contract.verdict import ClauseVerdict, Judgement
from verify import ledger


def _waits(experiment: Experiment, seen: Seen) -> Judgement:
    """The last store returns after the thaw."""
    (thaw,) = (place for place, record in enumerate(seen.records) if isinstance(record, ledger.Thawed))
    *_, stored = (place for place, record in enumerate(seen.records) if isinstance(record, ledger.Stored))
    thawed = seen.records[thaw]
    if stored < thaw:
        return Judgement(ClauseVerdict.broken, "the store went on while the filesystem was frozen")
    if isinstance(thawed, ledger.Thawed) and thawed.sectors:
        return Judgement(ClauseVerdict.broken, f"{thawed.sectors} sectors were written while frozen")
    judged = stores()(experiment, seen)
    return Judgement(judged.verdict, f"waits, nothing is written; after the thaw {judged.words}")


EXPERIMENTS: tuple[Experiment, ...] = (
    Experiment(clause=14, name="first", stage=FROZEN, ops=(STRIKE, STORE, MSYNC), judge=_waits),
    Experiment(clause=14, name="again", stage=FROZEN, ops=(STORE, STRIKE, STORE, MSYNC), judge=_waits),
)

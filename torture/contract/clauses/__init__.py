"""The clauses, and every experiment there is. A new experiment is one row or class in one file here.

Why each clause holds, with its sources, is in docs/contract.md.
"""

from __future__ import annotations

from torture.contract.clauses import durability, edges, errors, freezing, pinning, quota
from torture.contract.experiment import Experiment

CLAUSES: dict[int, str] = {
    1: "mlock of a hole neither dirties nor allocates",
    2: "mlock on a full filesystem succeeds or fails cleanly",
    3: "the first store asks the filesystem",
    4: "an accepted store survives a remount",
    5: "store and msync survive a power cut",
    6: "a store into a preallocated extent reads back",
    7: "after writeback the page is asked for again",
    8: "a store never changes the clone",
    9: "bytes past the end are never persisted",
    10: "after truncate or punch a store faults anew",
    11: "mprotect, mremap and fork keep all that",
    12: "kernel-mode stores obey the same rules",
    13: "a writeback error is told once to each descriptor",
    14: "stores wait for the thaw",
    15: "EDQUOT is treated as ENOSPC is",
    16: "munlock, munmap, exit and close lose nothing",
    17: "a pin of what cannot be read fails",
}

EXPERIMENTS: tuple[Experiment, ...] = (
    *pinning.EXPERIMENTS,
    *durability.EXPERIMENTS,
    *edges.EXPERIMENTS,
    *errors.EXPERIMENTS,
    *freezing.EXPERIMENTS,
    *quota.EXPERIMENTS,
)

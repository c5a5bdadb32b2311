"""Clause 15: a user over quota is refused at the store, as on a full filesystem."""

from __future__ import annotations

from torture.contract.experiment import BACKGROUND, MSYNC, OVER_QUOTA, STORE, Experiment
from torture.contract.stores import Refusal, stores

EXPERIMENTS: tuple[Experiment, ...] = tuple(
    Experiment(clause=15, name=name, stage=OVER_QUOTA, access=access, ops=ops, judge=stores(Refusal.DUE), pages=16)
    for name, access, ops in (
        ("msync", "store", (STORE, MSYNC)),
        ("background", "store", (STORE, BACKGROUND, MSYNC)),
        ("read", "read", (STORE, MSYNC)),
    )
)

"""Clause 15: a user over quota is refused at the store, as on a full filesystem (the stage `quota` sets the limit)."""

from __future__ import annotations

from torture.contract.actor import StoreBy, background, msync, store
from torture.contract.experiment import Experiment
from torture.contract.stores import Refusal, Stores

EXPERIMENTS: tuple[Experiment, ...] = tuple(
    Stores(clause=15, name=name, stage="quota", steps=steps, refusal=Refusal.DUE, pages=16)
    for name, steps in (
        ("msync", (store, msync)),
        ("background", (store, background, msync)),
        ("read", (StoreBy("read"), msync)),
    )
)

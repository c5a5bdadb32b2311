"""Canary: dm-flakey changes random bytes of random writes of file data, as kernels since 6.5 can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torture.faults.base import Parameter
from torture.faults.canaries.corrupt_bio import CorruptBio

_WHOLE = 1_000_000_000
"""dm-flakey counts probabilities in billionths (Documentation/admin-guide/device-mapper/dm-flakey.rst)."""


class CorruptRandom(CorruptBio):
    """One write in `one_in`, each at a place that the kernel chooses."""

    name = "corrupt-random"
    meaning = "canary: dm-flakey changes random bytes of file data (since 6.5); must be found as corrupt, sector exact"
    targets: ClassVar[frozenset[str]] = frozenset({"flakey", "flakey random_write_corrupt 1"})
    parameters: ClassVar[Mapping[str, Parameter]] = {"one_in": Parameter(1, 1, 1 << 20, "writes to one corrupted")}

    def _features(self) -> tuple[str, ...]:
        return (f"random_write_corrupt {_WHOLE // self.values['one_in']}",)

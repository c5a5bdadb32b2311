"""A thin pool without free blocks below the filesystem, which thinks it has room: writes fail at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from devicemapper.targets import ThinPool
from torture.faults.base import Parameter
from torture.faults.space.thin_pool import Exhausted


class ThinFull(Exhausted):
    """A rival thin device has all the blocks; afterwards it is deleted."""

    name = "thin-full"
    meaning = "the thin pool below has no free blocks, and writes that need one fail with ENOSPC"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(0, 0, 1 << 20, "blocks of 64 KiB that the pool can still hand out")
    }
    features = (ThinPool.ERROR_IF_NO_SPACE,)
    exhausted = "out_of_data_space"
    announced = "out-of-data-space"

    def take(self) -> str:
        """All free blocks but so many."""
        return f"a rival took {self.pool.take_space(self.values['free_blocks'])} blocks of the thin pool"

    def give_back(self) -> None:
        """The rival's blocks are free again."""
        self.pool.give_back()

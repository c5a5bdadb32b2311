"""A thin pool without free metadata below the filesystem: blocks there are, but none can be handed out any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torture.faults.base import Parameter
from torture.faults.space.thin_pool import Exhausted


class ThinMetadata(Exhausted):
    """Other thin devices use up the metadata; afterwards its device is extended."""

    name = "thin-metadata"
    meaning = "the thin pool below has no free metadata, and writes that need a block fail"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(0, 0, 1 << 20, "free metadata blocks of 4 KiB to leave")
    }
    metadata_sectors = 2 << 11
    exhausted = "ro"
    announced = "read-only"

    def take(self) -> str:
        """All free metadata but so many blocks."""
        made = self.pool.take_metadata(self.values["free_blocks"])
        return f"{made} further thin devices use up the metadata: {self.pool.status()}"

    def give_back(self) -> None:
        """Four times as much."""
        self.pool.extend_metadata(4 * self.metadata_sectors)

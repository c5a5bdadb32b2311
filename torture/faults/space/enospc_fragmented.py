"""ENOSPC with the free space in single blocks, so that an allocation of more than one has to be put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torture.faults.base import Parameter
from torture.faults.space.enospc import Enospc
from torture.rig.ballast import fill
from torture.rig.scene import Scene


class EnospcFragmented(Enospc):
    """Filled to the last block; then every second of a row of one-block files is removed."""

    name = "enospc-fragmented"
    meaning = "the filesystem is full but for a few blocks that do not touch"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(8, 1, 1024, "filesystem blocks left free, each alone")
    }

    def arm(self, scene: Scene) -> None:
        """Fill, and leave `free_blocks` single blocks."""
        self._ballast = fill(scene, self.values["free_blocks"], scattered=True)
        scene.note(self._ballast.summary)

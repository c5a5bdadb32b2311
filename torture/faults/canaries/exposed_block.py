"""Canary: a page shows a stale block of somebody else."""

from __future__ import annotations

from torture.faults.canaries.planted import Place, PlantedDamage, stamped
from torture.rig.scene import Scene
from verify.stamp import SECTOR_BYTES, Kind


class ExposedBlock(PlantedDamage):
    """A foreign stamp, as it lies under free space, where data was stored."""

    name = "exposed-block"
    meaning = "canary: a page of foreign stamps; must be found as exposed"
    kind = "exposed"

    def damage(self, page: memoryview, place: Place, scene: Scene) -> int:
        """The whole page is foreign."""
        page[:] = stamped(place, scene, page=place.page, generation=0, kind=Kind.FOREIGN)
        return (1 << len(page) // SECTOR_BYTES) - 1

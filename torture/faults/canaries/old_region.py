"""Canary: an old version of a region is put back."""

from __future__ import annotations

from torture.faults.canaries.planted import Place, PlantedDamage, stamped
from torture.rig.scene import Scene
from verify.stamp import SECTOR_BYTES


class OldRegion(PlantedDamage):
    """A page is whole and consistent, and older than what was stored."""

    name = "old-region"
    meaning = "canary: a page of an older generation; must be found as lost"
    kind = "lost"

    def damage(self, page: memoryview, place: Place, scene: Scene) -> int:
        """The generation before, or zeros where there is none."""
        older = place.generation - 1
        page[:] = stamped(place, scene, page=place.page, generation=older) if older else bytes(len(page))
        return (1 << len(page) // SECTOR_BYTES) - 1

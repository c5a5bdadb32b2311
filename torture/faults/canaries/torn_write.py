"""Canary: a torn write. The second half of a page is put back to an older generation."""

from __future__ import annotations

from torture.faults.canaries.planted import Place, PlantedDamage, stamped
from torture.rig.scene import Scene
from verify.stamp import SECTOR_BYTES


class TornWrite(PlantedDamage):
    """Half of the last store of a page is missing."""

    name = "torn-write"
    meaning = "canary: half a page of an older generation; must be found as torn"
    kind = "torn"

    def damage(self, page: memoryview, place: Place, scene: Scene) -> int:
        """The upper half gets the generation before, or the base where there is none."""
        half = len(page) // 2
        old = stamped(place, scene, page=place.page, generation=place.generation - 1) if place.generation > 1 else None
        page[half:] = old[half:] if old else bytes(half)
        sectors = len(page) // SECTOR_BYTES
        return (1 << sectors) - (1 << sectors // 2)

"""Canary: a misdirected write. A page shows what belongs into its neighbour."""

from __future__ import annotations

from torture.faults.canaries.planted import Place, PlantedDamage, stamped
from torture.rig.scene import Scene
from verify.stamp import SECTOR_BYTES


class MisdirectedWrite(PlantedDamage):
    """The stamps are good, and name another page."""

    name = "misdirected-write"
    meaning = "canary: a page with its neighbour's content; must be found as misdirected"
    kind = "misdirected"

    def damage(self, page: memoryview, place: Place, scene: Scene) -> int:
        """The whole page is the next one's."""
        page[:] = stamped(place, scene, page=place.page + 1, generation=place.generation)
        return (1 << len(page) // SECTOR_BYTES) - 1

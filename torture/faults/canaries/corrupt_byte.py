"""Canary: one byte of a page is flipped on the disk."""

from __future__ import annotations

from torture.faults.canaries.planted import Place, PlantedDamage
from torture.rig.scene import Scene
from verify.stamp import SECTOR_BYTES


class CorruptByte(PlantedDamage):
    """Which byte is drawn from the seed of the plan."""

    name = "corrupt-byte"
    meaning = "canary: one byte flipped; must be found as corrupt, sector exact"
    kind = "corrupt"

    def damage(self, page: memoryview, place: Place, scene: Scene) -> int:
        """Flip all bits of one byte."""
        at = scene.random.randrange(len(page))
        page[at] ^= 0xFF
        return 1 << at // SECTOR_BYTES

"""Canary: dm-flakey changes a byte of every write of file data on its way to the disk, and says that all went well.

What it did is read from the disk after the unmount: each sector of a stored page that does not hold what was stored
there last must be found as corrupt, and nothing else.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from typing import ClassVar

from torture.errors import NotRun
from torture.faults.base import Parameter, Proof
from torture.faults.canaries.planted import Damage, Place, Planted, leave, stamped, stored_places, stored_whole_only
from torture.faults.io_errors.data_sectors import data_sectors
from torture.faults.io_errors.failing_writes import refusing
from torture.faults.power.dropping import OnFlakey, changed
from torture.rig.scene import Scene
from verify.descriptors import opened
from verify.stamp import SECTOR_BYTES


class CorruptBio(Damage, OnFlakey):
    """The byte is the `byte`th of each write; a page takes part in as many writes as the filesystem makes of it."""

    name = "corrupt-bio"
    meaning = "canary: dm-flakey changes a byte of each write of file data; must be found as corrupt, sector exact"
    kind = "corrupt"
    needs = ("extents", "in-place", "raw-data")
    targets: ClassVar[frozenset[str]] = frozenset({"flakey", "flakey corrupt_bio_byte 1 w 0 0"})
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "byte": Parameter(700, 1, 1 << 20, "which byte of each write, from 1 on"),
        "value": Parameter(165, 0, 255, "what it is changed to"),
    }
    strikes_before_stores = True

    _damaged: tuple[Planted, ...] = ()

    def strike(self, scene: Scene) -> None:
        """From before the first store to the unmount."""
        broken = refusing(str(scene.disk), scene.length_sectors, data_sectors(scene))
        scene.swap(changed(broken, features=self._features()))

    def before_reading(self, scene: Scene) -> None:
        """Note where the stored pages lie, while the filesystem is mounted."""
        os.sync()
        if not stored_whole_only(scene):
            raise NotRun("the canary compares whole pages, and some stores were of less")
        self._places = tuple(stored_places(scene))

    def mend(self, scene: Scene) -> None:
        """Corrupt no more, look what it did, and write down what must be found."""
        self.swap_back(scene)
        self._damaged = tuple(self._differing(scene))
        if not self._damaged:
            raise NotRun("no write of a stored page went to a sector that the file had when the fault struck")
        leave(self._damaged, scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when the disk holds something else than what was stored."""
        return Proof(bool(self._damaged), f"{len(self._damaged)} of {len(self._places)} stored pages differ on the disk")

    def _features(self) -> tuple[str, ...]:
        return (f"corrupt_bio_byte {self.values['byte']} w {self.values['value']} 0",)

    def _differing(self, scene: Scene) -> Iterator[Planted]:
        page = memoryview(mmap.mmap(-1, scene.plan.page_bytes))
        with opened(scene.block_device, os.O_RDONLY | os.O_DIRECT) as descriptor:
            for place in self._places:
                os.preadv(descriptor, [page], place.device_bytes)
                if sectors := _differing_sectors(page, place, scene):
                    yield Planted(self.kind, place.file, place.page, sectors)


def _differing_sectors(page: memoryview, place: Place, scene: Scene) -> int:
    """The sectors (bit i: sector i) that do not hold the last store of the page."""
    stored = stamped(place, scene, page=place.page, generation=place.generation)
    starts = range(0, len(page), SECTOR_BYTES)
    return sum(1 << at // SECTOR_BYTES for at in starts if page[at : at + SECTOR_BYTES] != stored[at : at + SECTOR_BYTES])

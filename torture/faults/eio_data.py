"""EIO on writes to the sectors that hold file data, and to no others, so that journal and metadata survive.

The sectors are those that the files have before the first store, by FIEMAP: a hole has none, so nothing is refused
there.
"""

from __future__ import annotations

from devicemapper.table import Table
from torture.errors import NotRun
from torture.faults.eio_writes import EioWrites
from torture.faults.failing_writes import refusing
from torture.filesystems import Filesystem
from torture.ground import Ground
from torture.scene import Scene
from workloads.extents import extents

_SECTOR_BYTES = 512


class EioData(EioWrites):
    """Afterwards no page may show what lay on the disk before: the foreign stamps under unwritten extents."""

    name = "eio-data"
    meaning = "writes to file data fail with EIO, all others succeed"

    @classmethod
    def missing(cls, row: Filesystem, ground: Ground) -> str:
        """Addresses of extents must be the device's."""
        return f"{row.name} does not tell where on the device its extents are" if row.type == "btrfs" else ""

    def _broken(self, scene: Scene) -> Table:
        return refusing(str(scene.disk), scene.length_sectors, self._data_sectors(scene))

    def _data_sectors(self, scene: Scene) -> list[tuple[int, int]]:
        found = []
        for file in scene.files:
            try:
                placed = extents(scene.mount_point / "files" / file.name)
            except OSError as error:
                raise NotRun(f"{scene.filesystem.name} does not tell where its extents are: {error}") from error
            found += [(each.device_bytes // _SECTOR_BYTES, each.length_bytes // _SECTOR_BYTES) for each in placed]
        if not found:
            raise NotRun("no file has extents before the first store, only holes")
        scene.note(f"writes to {sum(sectors for _, sectors in found)} sectors of file data are refused")
        return found

"""EIO on writes to the sectors that hold file data, and to no others, so that journal and metadata survive.

The sectors are those that the files have before the first store, by FIEMAP: a hole has none, so nothing is refused
there.
"""

from __future__ import annotations

from devicemapper.table import Table
from torture.faults.io_errors.data_sectors import count, data_sectors
from torture.faults.io_errors.eio_writes import EioWrites
from torture.faults.io_errors.failing_writes import refusing
from torture.rig.scene import Scene


class EioData(EioWrites):
    """Afterwards no page may show what lay on the disk before: the foreign stamps under unwritten extents."""

    name = "eio-data"
    meaning = "writes to file data fail with EIO, all others succeed"
    needs = ("extents", "in-place")
    refuses_metadata = False

    def _broken(self, scene: Scene) -> Table:
        ranges = data_sectors(scene)
        scene.note(f"writes to {count(ranges)} sectors of file data are refused")
        return refusing(str(scene.disk), scene.length_sectors, ranges)

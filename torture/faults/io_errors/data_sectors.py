"""Shared by the faults that strike file data only: where on the device the files lie, by FIEMAP."""

from __future__ import annotations

from torture.errors import NotRun
from torture.rig.scene import Scene
from verify.stamp import SECTOR_BYTES
from workloads.extents import extents


def data_sectors(scene: Scene, *, readable: bool = False) -> list[tuple[int, int]]:
    """The (first sector, sectors) that the files have on the device now; of those only that are read, if `readable`.

    Raises NotRun when there are none, or the filesystem does not tell.
    """
    found = []
    for file in scene.files:
        try:
            placed = extents(scene.files_directory / file.name)
        except OSError as error:
            raise NotRun(f"{scene.filesystem.name} does not tell where its extents are: {error}") from error
        found += [
            (each.device_bytes // SECTOR_BYTES, each.length_bytes // SECTOR_BYTES)
            for each in placed
            if not (readable and each.unwritten)
        ]
    if not found:
        raise NotRun("no file has extents when the fault strikes, only holes")
    return found


def count(ranges: list[tuple[int, int]]) -> int:
    """How many sectors these ranges are."""
    return sum(sectors for _, sectors in ranges)

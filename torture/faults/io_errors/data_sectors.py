"""Shared by the faults that strike file data only: where on the device the files lie, by FIEMAP or FIBMAP."""

from __future__ import annotations

from torture.errors import NotRun
from torture.filesystems import Filesystem
from torture.rig.scene import Scene
from verify.stamp import SECTOR_BYTES
from workloads.extents import extents


def untold(row: Filesystem) -> str:
    """Why the addresses of extents on `row` are not the device's, "" if they are."""
    return "btrfs does not tell where on the device its extents are" if row.type == "btrfs" else ""


def untold_or_moving(row: Filesystem) -> str:
    """Why what is stored does not go to the sectors that the file has now, "" if it does."""
    if row.type == "f2fs":
        return "f2fs writes what is stored to other sectors than the file has"
    return untold(row)


def data_sectors(scene: Scene, *, readable: bool = False) -> list[tuple[int, int]]:
    """The (first sector, sectors) that the files have on the device now; of those only that are read, if `readable`.

    Raises NotRun when there are none, or the filesystem does not tell.
    """
    found = []
    for file in scene.files:
        try:
            placed = extents(scene.mount_point / "files" / file.name)
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

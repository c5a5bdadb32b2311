"""Shared by the faults that let dm-flakey drop writes: the tables, and the count of what was dropped.

dm-flakey reports no counts of its own, so the proof is taken from the block layer: writes completed by the dm device
and by the disk under it, since the swap (/sys/dev/block/MAJOR:MINOR/stat, fields 5 and 7 of
Documentation/block/stat.rst: write I/Os and sectors written).
"""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

from devicemapper.block_stat import block_stat
from devicemapper.device import MappedDevice
from devicemapper.table import Table
from devicemapper.targets import Flakey
from torture.faults.base import SHUT_DOWN, Fault, Proof
from torture.rig.scene import Scene

FOREVER_S = 180
"""Longer than any trial."""
REFUSES = SHUT_DOWN | {errno.ENOENT}
"""What workers that go on may be told: what was dropped cannot be read again, and is not what the filesystem wrote. A
directory, too, is read again from the disk as it was before: a file that was made since is not in it."""


def flakey_table(disk: str, length_sectors: int, feature: str | None = None) -> Table:
    """dm-flakey over the whole disk: always up, or, with a `feature`, always down."""
    if feature is None:
        return Table.single(Flakey(disk, 0, up_s=FOREVER_S, down_s=0), length_sectors)
    return Table.single(Flakey(disk, 0, up_s=0, down_s=FOREVER_S, features=(feature,)), length_sectors)


def changed(table: Table, **changes: Any) -> Table:
    """The table with these fields of its flakey targets changed."""
    return Table(
        tuple(
            replace(each, target=replace(each.target, **changes)) if isinstance(each.target, Flakey) else each
            for each in table.segments
        )
    )


def writes_completed(block_device: Path) -> int:
    """Write I/Os that a block device has completed since it exists."""
    return block_stat(block_device)[4]


class DroppedWrites:
    """Swaps the dropping table of the stack's device (or another) in, and counts what is dropped until `stop_counting`."""

    def __init__(self, scene: Scene, table: Table, device: MappedDevice | None = None) -> None:
        device = device or scene.dm
        device.swap_table(table)
        self._upper, self._lower = device.path, scene.disk
        self._before = (writes_completed(self._upper), writes_completed(self._lower))
        self._after: tuple[int, int] | None = None

    def stop_counting(self) -> None:
        """Call while the dropping table is still in force."""
        self._after = (writes_completed(self._upper), writes_completed(self._lower))

    def proof(self) -> Proof:
        """Fired when at least one write was taken and none was passed on."""
        if self._after is None:
            return Proof(False, "the table was never swapped back")
        taken, passed = (after - before for after, before in zip(self._after, self._before, strict=True))
        return Proof(taken > 0 and passed == 0, f"{taken} writes reached the dm device, {passed} the disk below it")


class OnFlakey(Fault):
    """Lies on a flakey target that is always up before the strike."""

    def table(self, disk: str, length_sectors: int) -> Table:
        """A flakey target that is always up."""
        return flakey_table(disk, length_sectors)


class Dropping(OnFlakey):
    """Drops all writes from its strike until it is mended, and then has what it had at the strike."""

    targets = frozenset({"flakey"})

    _dropped: DroppedWrites

    def mend(self, scene: Scene) -> None:
        """The disk obeys again; what it dropped stays lost."""
        self._dropped.stop_counting()
        self.swap_back(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when writes reached the dm device and none reached the disk."""
        return self._dropped.proof()

"""A snapshot whose store overflows below the filesystem: from then on all I/O fails, reads included.

The kernel marks the store invalid (persistent_drop_snapshot() in drivers/md/dm-snap-persistent.c), which gives up what
is on it. Afterwards the mark is taken back and the store enlarged, so that what the filesystem had been told is written
can be looked at: every completed write has its exception in the store, because the two are committed together.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from devicemapper.device import MappedDevice
from devicemapper.table import Table
from devicemapper.targets import Linear, Snapshot
from torture.errors import StepFailed
from torture.faults.base import SHUT_DOWN, Fault, Parameter, Proof
from torture.faults.space.probe import write_probe
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene
from verify import ledger
from verify.descriptors import opened

_HEADER = struct.Struct("<4I")  # struct disk_header: magic, valid, version, chunk size
_MAGIC = 0x70416E53
_PAGE_BYTES = 4096
_PROBE_BYTES = 8 << 20
_ENLARGED_SECTORS = 1 << 20


class SnapshotFull(Fault):
    """What was stored since may be lost; everything else must be as it was."""

    name = "snapshot-full"
    meaning = "the snapshot below overflows, and all reads and writes fail"
    targets: ClassVar[frozenset[str]] = frozenset({"linear", "snapshot"})
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "store_kib": Parameter(256, 16, 1 << 18, "size of the store in KiB, its own metadata included")
    }
    may_lose_unsynced = True
    strikes_before_stores = True
    readable_warm = False
    refuses_metadata: ClassVar[bool] = True
    excused_errnos = SHUT_DOWN | {errno.ENOSPC}

    _store: MappedDevice
    _live: MappedDevice
    _said = ""

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """The store is a disk of its own."""
        return "" if machine.spares else "the lab has no spare disk for the store of a snapshot"

    def strike(self, scene: Scene) -> None:
        """The filesystem goes on working on a snapshot with a small store.

        Syncs prove nothing from now on: that all of what a snapshot completed before it overflowed can be read again is
        not established (docs/faults.md).
        """
        scene.ledger.append(ledger.Swap("a snapshot that will overflow"))
        scene.ledger.append(ledger.Struck(self.name, crash=True))
        spare = scene.spares[0]
        _pwrite(spare, mmap.mmap(-1, _PAGE_BYTES))
        small = Table.single(Linear(str(spare)), 2 * self.values["store_kib"])
        self._store = scene.below.enter_context(MappedDevice(f"{scene.dm.name}-store", small))
        self._live = self._snapshot(scene, "live")
        scene.swap(Table.single(Linear(str(self._live.path)), scene.length_sectors))

    def before_reading(self, scene: Scene) -> None:
        """The workers may have found room in what was handed out before: then a write of the tool's own meets the end."""
        scene.note(f"a probe write of {_PROBE_BYTES >> 20} MiB gave {write_probe(scene, _PROBE_BYTES) or 'no error'}")

    def mend(self, scene: Scene) -> None:
        """A larger store, declared valid again, and the same snapshot on it."""
        self._said = " ".join(self._live.status()[0].rest)
        self.swap_back(scene)
        self._live.remove()
        self._store.swap_table(Table.single(Linear(str(scene.spares[0])), _ENLARGED_SECTORS))
        _declare_valid(self._store.path)
        revived = self._snapshot(scene, "revived")
        scene.swap(Table.single(Linear(str(revived.path)), scene.length_sectors))

    def proof(self, scene: Scene) -> Proof:
        """It fired when the snapshot became invalid."""
        return Proof(self._said == "Invalid", f"status of the snapshot after the unmount: {self._said}")

    def _snapshot(self, scene: Scene, name: str) -> MappedDevice:
        target = Snapshot(str(scene.disk), str(self._store.path), persistent=True)
        device = MappedDevice(f"{scene.dm.name}-{name}", Table.single(target, scene.length_sectors))
        return scene.below.enter_context(device)


def _declare_valid(store: Path) -> None:
    """Take back the kernel's mark. StepFailed if there is no store."""
    page = mmap.mmap(-1, _PAGE_BYTES)
    with opened(store, os.O_RDONLY | os.O_DIRECT) as descriptor:
        os.preadv(descriptor, [page], 0)
    magic, _, version, chunk = _HEADER.unpack_from(page)
    if magic != _MAGIC:
        raise StepFailed("revive the snapshot", f"its store begins with {magic:#x} instead of {_MAGIC:#x}")
    _HEADER.pack_into(page, 0, magic, 1, version, chunk)
    _pwrite(store, page)


def _pwrite(device: Path, page: mmap.mmap) -> None:
    with opened(device, os.O_WRONLY | os.O_DIRECT) as descriptor:
        os.pwrite(descriptor, page, 0)

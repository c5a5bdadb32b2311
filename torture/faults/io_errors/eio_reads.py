"""EIO on reads of file data while the workers pin and fault their pages in; writes and all metadata are left alone.

dm-flakey can refuse reads only since 6.4, so a dm-delay target is used, which sends reads and writes to different
devices: reads to an error target, writes to the disk. What the stores were refused is no loss; what is accepted, above
all once the reads work again, must be there.
"""

from __future__ import annotations

import errno
import os
from typing import ClassVar

from devicemapper.device import MappedDevice
from devicemapper.table import Table
from devicemapper.targets import Delay, Error
from torture.faults.base import Fault, Proof
from torture.faults.io_errors.data_sectors import count, data_sectors
from torture.faults.io_errors.failing_writes import RefusedReads, covering
from torture.rig.scene import Scene
from verify import ledger
from verify.descriptors import opened


class EioReads(Fault):
    """A page that cannot be read cannot be stored to (SIGBUS) until the reads heal, nor be pinned: mlock(2) gives ENOMEM,
    or tries again and again (docs/kernel-behaviour.md), so nobody is waited for very long.
    """

    name = "eio-reads"
    meaning = "reads of file data fail with EIO until the disk heals; the workers go on"
    needs = ("extents",)
    targets: ClassVar[frozenset[str]] = frozenset({"delay", "error", "linear"})
    strikes_before_stores = True
    moments: ClassVar[tuple[str, ...]] = ("start",)
    rounds = 1
    refuses_reads: ClassVar[bool] = True
    gate_timeout_s = 5.0
    excused_errnos: ClassVar[frozenset[int]] = frozenset({errno.EIO})
    excused_pin_errnos: ClassVar[frozenset[int]] = frozenset({errno.ENOMEM, errno.EIO})

    _refused: RefusedReads | None = None
    _ended: RefusedReads | None = None

    def strike(self, scene: Scene) -> None:
        """Forget what is cached of the files, and refuse to read it again."""
        ranges = data_sectors(scene, readable=True)
        scene.note(f"reads of {count(ranges)} sectors of file data are refused")
        _forget(scene)
        scene.ledger.append(ledger.Struck(self.name, crash=False))
        self._refused = RefusedReads(scene)
        self._break(scene, ranges)

    def heal(self, scene: Scene) -> None:
        """Reads work again."""
        self.before_reading(scene)

    def before_reading(self, scene: Scene) -> None:
        """Before the files are read, at the latest."""
        if self._refused is None:
            return
        self._repair(scene)
        self._refused.stop()
        self._ended, self._refused = self._refused, None

    def mend(self, scene: Scene) -> None:
        """Nothing is left to do."""
        self.before_reading(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when reads were refused, and the workers met it."""
        if self._ended is None:
            return Proof(False, "the reads were never healed")
        told = [f"{number} x {what}" for what, number in sorted(scene.refusals.items())]
        told += [f"worker {worker} did not get on" for worker in sorted(scene.late)]
        fired = bool(told) and self._is_refusing(self._ended.sectors)
        return Proof(fired, f"{self._counted(self._ended)}; the workers: {', '.join(told) or 'met nothing'}")

    def _is_refusing(self, sectors: int) -> bool:
        return sectors > 0

    def _counted(self, refused: RefusedReads) -> str:
        return refused.proof().evidence

    def _break(self, scene: Scene, ranges: list[tuple[int, int]]) -> None:
        broken = MappedDevice(f"{scene.dm.name}-unreadable", Table.single(Error(), scene.length_sectors))
        unreadable = str(scene.below.enter_context(broken).path)
        disk = str(scene.disk)
        scene.swap(covering(disk, scene.length_sectors, ranges, lambda first: Delay(unreadable, first, 0, disk, first, 0)))

    def _repair(self, scene: Scene) -> None:
        self.swap_back(scene)


def _forget(scene: Scene) -> None:
    """Drop the clean pages of all files from the cache (posix_fadvise(2)); everything was synced by the layout."""
    for file in scene.files:
        with opened(scene.files_directory / file.name) as descriptor:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

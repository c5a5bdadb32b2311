"""Canary where there is no device-mapper: after the unmount the disk is put back to what it held before the stores.

The same loss as a lying disk, planted with plain reads and writes of the block device, so that it works in every lab.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from torture.errors import StepFailed
from torture.faults.base import Fault, Proof
from torture.rig.scene import Scene
from verify.descriptors import opened
from verify.stamp import SECTOR_BYTES

_CHUNK_BYTES = 1 << 20


class StaleDisk(Fault):
    """Puts an old image of the whole disk back: a planted loss of everything that was stored."""

    name = "stale-disk"
    meaning = "canary: the disk is put back to before the stores; must be found"
    canary = True
    strikes_before_stores = True

    _image: Path
    _restored_bytes = 0

    def strike(self, scene: Scene) -> None:
        """Remember the disk as it is now, all of it synced."""
        os.sync()
        self._image = scene.directory / "stale-disk.img"
        _copy(scene.block_device, self._image, scene.length_sectors * SECTOR_BYTES)

    def mend(self, scene: Scene) -> None:
        """Put the old image back."""
        self._restored_bytes = _copy(self._image, scene.block_device, scene.length_sectors * SECTOR_BYTES)
        self._image.unlink()

    def proof(self, scene: Scene) -> Proof:
        """It fired when blocks that had changed were put back."""
        return Proof(self._restored_bytes > 0, f"{self._restored_bytes >> 10} KiB of old content put back")


def _copy(source: Path, target: Path, length_bytes: int) -> int:
    """Copy around the page cache where it is a device's; returns the bytes that differed from what the target held."""
    chunk, held = mmap.mmap(-1, _CHUNK_BYTES), mmap.mmap(-1, _CHUNK_BYTES)
    changed = 0
    writable = os.O_RDWR | os.O_CREAT
    with opened(source, _direct(source)) as reading, opened(target, writable | _direct(target)) as writing:
        for offset_bytes in range(0, length_bytes, _CHUNK_BYTES):
            take = min(_CHUNK_BYTES, length_bytes - offset_bytes)
            if os.preadv(reading, [memoryview(chunk)[:take]], offset_bytes) != take:
                raise StepFailed("stale disk", f"{source} ends before byte {offset_bytes + take}")
            held_bytes = os.preadv(writing, [memoryview(held)[:take]], offset_bytes)
            if held_bytes != take or chunk[:take] != held[:take]:
                os.pwritev(writing, [memoryview(chunk)[:take]], offset_bytes)
                changed += take
        os.fsync(writing)
    return changed


def _direct(path: Path) -> int:
    return os.O_DIRECT if path.is_block_device() else 0

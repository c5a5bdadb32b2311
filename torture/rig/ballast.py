"""Fills a mounted filesystem with foreign-stamped ballast, to the last block, and leaves N blocks free.

Space under preallocated ballast keeps the foreign stamps that the scratch disk had before mkfs, so the bulk
is preallocated where the filesystem can; the rest is written for real, in ever smaller steps with a sync between, since
delayed allocation answers only then. The blocks to leave free are held by a file of their own, written first and
removed last, since no filesystem can be filled to an exact number of free blocks from one side only.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from torture.errors import StepFailed
from torture.rig.scene import Scene
from verify import stamp
from verify.descriptors import opened
from verify.stamp import SECTOR_BYTES
from workloads import libc

_STEPS_BYTES = (1 << 20, 1 << 16, 1 << 12)
_WRITTEN_TAIL_BYTES = 4 << 20
_BALLAST_WRITER = 0xFFFFFFFE
_PROBE_BLOCKS = 64
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""EIO: all that btrfs with compression says when delayed allocation finds no room (fs/btrfs/extent_io.c, PAGE_SET_ERROR);
no fault is in force while a filesystem is filled."""


@dataclass(frozen=True, slots=True)
class Ballast:
    """What fills the filesystem: `blocks` of `block_bytes`, and the free blocks that statvfs showed afterwards."""

    directory: Path
    block_bytes: int
    written_bytes: int
    preallocated_bytes: int
    free_after: int
    probe_blocks: int = _PROBE_BLOCKS

    @property
    def summary(self) -> str:
        """One sentence of evidence."""
        return (
            f"ballast: {self.preallocated_bytes >> 10} KiB preallocated, {self.written_bytes >> 10} KiB written until"
            f" ENOSPC; statvfs then shows {self.free_after} free blocks of {self.block_bytes} bytes"
        )

    def probe(self) -> bool:
        """Whether a write of `probe_blocks` blocks is refused; what it wrote is removed again."""
        path = self.directory / "probe"
        try:
            with open(path, "wb") as probe:
                probe.write(os.urandom(self.block_bytes * self.probe_blocks))
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            if error.errno not in _FULL:
                raise StepFailed("probe write on the full filesystem", str(error)) from error
            return True
        finally:
            path.unlink(missing_ok=True)
        return False


def fill(scene: Scene, free_blocks: int, *, scattered: bool = False) -> Ballast:
    """Fill the filesystem of `scene`, then free `free_blocks` blocks: of one file, or, `scattered`, of as many files
    with another one's block after each. StepFailed when ENOSPC never came."""
    directory = scene.mount_point / "ballast"
    directory.mkdir()
    block_bytes = os.statvfs(scene.mount_point).f_bsize
    kept_free = _keep_scattered(directory, free_blocks, scene) if scattered else _keep(directory, free_blocks, scene)
    preallocated = _preallocate(directory / "bulk", scene.mount_point)
    written = _write_until_full(directory, scene)
    for path in kept_free:
        path.unlink()
    _sync(directory)
    free = os.statvfs(scene.mount_point).f_bavail
    return Ballast(directory, block_bytes, written, preallocated, free)


def _keep(directory: Path, blocks: int, scene: Scene) -> list[Path]:
    """What to remove in the end, so that so many blocks are free: one file."""
    path = directory / "kept-free"
    if not blocks:
        return []
    _write(path, blocks * os.statvfs(directory).f_bsize, scene)
    return [path]


def _keep_scattered(directory: Path, blocks: int, scene: Scene) -> list[Path]:
    """Every second of twice as many files of one block, written in order and each at once."""
    block_bytes = os.statvfs(directory).f_bsize
    paths = [directory / f"scattered-{number}" for number in range(2 * blocks)]
    for path in paths:
        _write(path, block_bytes, scene)
    return paths[::2]


def _preallocate(path: Path, mount_point: Path) -> int:
    """Preallocate all but the tail; 0 where the filesystem cannot."""
    view = os.statvfs(mount_point)
    want = view.f_bavail * view.f_frsize - _WRITTEN_TAIL_BYTES
    with opened(path, os.O_CREAT | os.O_WRONLY) as descriptor:
        while want > _WRITTEN_TAIL_BYTES:
            try:
                libc.fallocate(descriptor, 0, 0, want)  # posix_fallocate(3) would write zeros instead of refusing
            except OSError as error:
                if error.errno == errno.EOPNOTSUPP:
                    return 0
                if error.errno not in _FULL:
                    raise StepFailed("preallocate ballast", str(error)) from error
                os.ftruncate(descriptor, 0)
                want -= want // 8
            else:
                os.fsync(descriptor)
                return want
    return 0


def _write_until_full(directory: Path, scene: Scene) -> int:
    """Write ballast in falling steps, each until it is refused twice with a sync between."""
    total = 0
    with opened(directory / "tail", os.O_CREAT | os.O_WRONLY | os.O_APPEND) as descriptor:
        for step in _STEPS_BYTES:
            total += _write_step(descriptor, step, scene, total)
    return total


def _write_step(descriptor: int, step_bytes: int, scene: Scene, offset_bytes: int) -> int:
    limit = scene.length_sectors * SECTOR_BYTES
    wrote = refusals = 0
    while refusals < 2:
        try:
            wrote += os.write(descriptor, _foreign(scene, offset_bytes + wrote, step_bytes))
            if step_bytes < _STEPS_BYTES[0]:
                os.fdatasync(descriptor)
        except OSError as error:
            if error.errno not in _FULL:
                raise StepFailed("write ballast", str(error)) from error
            refusals += 1
            _sync_tolerating_full(descriptor)
        if wrote > limit:
            raise StepFailed("fill", f"wrote {wrote} bytes of ballast to a device of {limit} and was never refused")
    return wrote


def _foreign(scene: Scene, offset_bytes: int, length_bytes: int) -> bytearray:
    content = bytearray(length_bytes)
    stamp.fill(
        content,
        run=scene.plan.stamp_run,
        file=stamp.FOREIGN_FILE,
        first_page=offset_bytes // scene.plan.page_bytes,
        generation=0,
        writer=_BALLAST_WRITER,
        kind=stamp.Kind.FOREIGN,
        page_bytes=scene.plan.page_bytes,
    )
    return content


def _write(path: Path, length_bytes: int, scene: Scene) -> None:
    padded = -(-length_bytes // scene.plan.page_bytes) * scene.plan.page_bytes
    try:
        with opened(path, os.O_CREAT | os.O_WRONLY) as descriptor:
            os.write(descriptor, _foreign(scene, 0, padded)[:length_bytes])
            os.fsync(descriptor)
    except OSError as error:
        raise StepFailed(f"write {path.name}", str(error)) from error


def _sync_tolerating_full(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in _FULL:
            raise StepFailed("sync ballast", str(error)) from error


def _sync(directory: Path) -> None:
    with opened(directory) as descriptor:
        os.fsync(descriptor)

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

from devicemapper.mounts import all_mounts
from torture.errors import BrokenPromise, StepFailed
from torture.rig.scene import Scene
from verify import stamp
from verify.descriptors import opened
from verify.finding import of_filesystem
from verify.stamp import SECTOR_BYTES
from workloads import libc

_STEPS_BYTES = (1 << 20, 1 << 16, 1 << 12)
_WRITTEN_TAIL_BYTES = 4 << 20
_TAIL = "tail"
_BALLAST_WRITER = 0xFFFFFFFE
_PROBE_BLOCKS = 64
_MOST_COMPRESSED = 64
"""So many times the size of the device may be accepted where it is compressed."""
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
    vouched: bool
    """Whether every sync of what was written succeeded."""
    probe_blocks: int = _PROBE_BLOCKS

    @property
    def summary(self) -> str:
        """One sentence of evidence."""
        return (
            f"ballast: {self.preallocated_bytes >> 10} KiB preallocated, {self.written_bytes >> 10} KiB written until"
            f" ENOSPC; statvfs then shows {self.free_after} free blocks of {self.block_bytes} bytes"
        )

    def check(self, scene: Scene) -> None:
        """After a clean remount: BrokenPromise unless what syncs vouched for reads as it was written."""
        if not self.vouched:
            return
        with opened(self.directory / _TAIL) as descriptor:
            for offset in range(0, self.written_bytes, _STEPS_BYTES[0]):
                length = min(_STEPS_BYTES[0], self.written_bytes - offset)
                _compare(os.pread(descriptor, length, offset), _foreign(scene, offset, length), f"ballast at byte {offset}")

    def probe(self) -> bool:
        """Whether a write of `probe_blocks` blocks is refused; what it wrote is removed again. What is accepted must be
        there (BrokenPromise)."""
        path = self.directory / "probe"
        content = os.urandom(self.block_bytes * self.probe_blocks)
        try:
            with open(path, "w+b", buffering=0) as probe:
                probe.write(content)
                os.fsync(probe.fileno())
                os.posix_fadvise(probe.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                _compare(os.pread(probe.fileno(), len(content), 0), content, "a probe write on the full filesystem")
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
    tail = _Tail(scene, preallocated)
    with opened(directory / _TAIL, os.O_CREAT | os.O_WRONLY | os.O_APPEND) as descriptor:
        for step_bytes in _STEPS_BYTES:
            tail.write_until_full(descriptor, step_bytes)
        tail.sync(descriptor)
    for path in kept_free:
        path.unlink()
    _sync(directory)
    free = os.statvfs(scene.mount_point).f_bavail
    return Ballast(directory, block_bytes, tail.written_bytes, preallocated, free, tail.vouched)


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


@dataclass(slots=True)
class _Tail:
    """What is written in falling steps, each until it is refused twice with a sync between."""

    scene: Scene
    preallocated_bytes: int
    written_bytes: int = 0
    vouched: bool = True

    def write_until_full(self, descriptor: int, step_bytes: int) -> None:
        """One step. BrokenPromise when more is accepted than there can be room for."""
        refusals = 0
        while refusals < 2:
            try:
                content = _foreign(self.scene, self.written_bytes, step_bytes)
                self.written_bytes += os.write(descriptor, content)
                if step_bytes < _STEPS_BYTES[0]:
                    os.fdatasync(descriptor)
            except OSError as error:
                if error.errno not in _FULL:
                    raise StepFailed("write ballast", str(error)) from error
                refusals += 1
                self.sync(descriptor)
            self._check_room()

    def sync(self, descriptor: int) -> None:
        """Have it on the disk, or be told that there is no room for it."""
        try:
            os.fdatasync(descriptor)
        except OSError as error:
            if error.errno not in _FULL:
                raise StepFailed("sync ballast", str(error)) from error
            self.vouched = False

    def _check_room(self) -> None:
        limit = self.scene.length_sectors * SECTOR_BYTES
        accepted = self.preallocated_bytes + self.written_bytes
        if accepted <= limit:
            return
        said = f"{accepted} bytes of ballast accepted"
        if not _compresses(self.scene.mount_point):
            room = f"room for at most {limit} bytes"
            raise BrokenPromise(of_filesystem("overfull", "invented", expected=room, found=said))
        if accepted > _MOST_COMPRESSED * limit:
            raise StepFailed("fill", f"{said} on a device of {limit}, and no end of it")


def _compresses(mount_point: Path) -> bool:
    """Whether the filesystem may put more bytes on its device than that has, as its mount options tell."""
    (mounted,) = (each for each in all_mounts() if each.mount_point == mount_point)
    return any(option.startswith("compress") for option in mounted.options)


def _foreign(scene: Scene, offset_bytes: int, length_bytes: int) -> memoryview:
    """What the ballast holds there."""
    page_bytes = scene.plan.page_bytes
    before = offset_bytes % page_bytes
    content = bytearray(-(-(before + length_bytes) // page_bytes) * page_bytes)
    stamp.fill(
        content,
        run=scene.plan.stamp_run,
        file=stamp.FOREIGN_FILE,
        first_page=offset_bytes // page_bytes,
        generation=0,
        writer=_BALLAST_WRITER,
        kind=stamp.Kind.FOREIGN,
        page_bytes=page_bytes,
    )
    return memoryview(content)[before : before + length_bytes]


def _compare(found: bytes, expected: bytes | memoryview, what: str) -> None:
    """BrokenPromise unless they are the same."""
    if found == expected:
        return
    differing = sum(a != b for a, b in zip(found, expected, strict=False)) + len(expected) - len(found)
    said = f"{what}: {differing} of {len(expected)} bytes are not what was written and synced"
    raise BrokenPromise(of_filesystem("lost", "store", expected="what was written", found=said))


def _write(path: Path, length_bytes: int, scene: Scene) -> None:
    try:
        with opened(path, os.O_CREAT | os.O_WRONLY) as descriptor:
            os.write(descriptor, _foreign(scene, 0, length_bytes))
            os.fsync(descriptor)
    except OSError as error:
        raise StepFailed(f"write {path.name}", str(error)) from error


def _sync(directory: Path) -> None:
    with opened(directory) as descriptor:
        os.fsync(descriptor)

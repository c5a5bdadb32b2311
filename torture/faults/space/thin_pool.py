"""Shared by the faults of a thin pool: the pool below the filesystem, and what takes its space.

The scratch disk holds the data, a spare disk the metadata. Thin device 0 is what the filesystem lies on; device 1 is
the rival that takes free blocks and gives them back when it is deleted.
"""

from __future__ import annotations

import errno
import mmap
import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from devicemapper.device import MappedDevice
from devicemapper.status import PoolStatus, pool_status
from devicemapper.table import Table
from devicemapper.targets import Linear, Thin, ThinPool
from torture.errors import StepFailed
from torture.faults.base import SHUT_DOWN, Below, Fault, Proof
from torture.faults.space.probe import write_probe
from torture.filesystems import Filesystem
from torture.rig.kernel_log import KernelLog
from torture.rig.machine import Machine
from torture.rig.scene import Scene
from verify import ledger
from verify.descriptors import opened
from verify.stamp import SECTOR_BYTES

BLOCK_SECTORS = 128
PROBE_BYTES = 48 << 20
"""More than the filesystems of a trial have room for in blocks that were handed out before."""
_BLOCK_BYTES = BLOCK_SECTORS * SECTOR_BYTES
_FILESYSTEM, _RIVAL = 0, 1
_PIECE_BYTES = 4096


class Pool:
    """A new pool over `disk`, with metadata in the first `metadata_sectors` of `spare`, and thin device 0 in it."""

    def __init__(self, below: Below, metadata_sectors: int, features: tuple[str, ...]) -> None:
        spare, held = below.spares[0], below.held
        self._name, self._length_sectors = below.name, below.length_sectors
        _write_zeros(spare)
        self._spare = spare
        self._metadata = held.enter_context(
            MappedDevice(f"{below.name}-meta", Table.single(Linear(str(spare)), metadata_sectors))
        )
        target = ThinPool(str(self._metadata.path), str(below.disk), BLOCK_SECTORS, features)
        self._pool = held.enter_context(MappedDevice(f"{below.name}-pool", Table.single(target, below.length_sectors)))
        self._pool.send(f"create_thin {_FILESYSTEM}")
        thin = held.enter_context(MappedDevice(f"{below.name}-thin", self._thin(_FILESYSTEM)))
        self.path = thin.path

    @property
    def number(self) -> str:
        """MAJOR:MINOR of the pool, as the kernel log names it."""
        device = self._pool.path.stat().st_rdev
        return f"{os.major(device)}:{os.minor(device)}"

    def status(self) -> PoolStatus:
        """Space and mode. StepFailed if the pool has failed for good."""
        (status,) = self._pool.status()
        try:
            return pool_status(status)
        except ValueError as error:
            raise StepFailed("status of the pool", str(error)) from error

    def take_space(self, leave_blocks: int) -> int:
        """Let the rival have all but so many free blocks (of 64 KiB); returns how many it took."""
        self._pool.send(f"create_thin {_RIVAL}")
        take = max(0, self.status().free_data - leave_blocks)
        with ExitStack() as held:
            rival = held.enter_context(MappedDevice(f"{self._name}-rival", self._thin(_RIVAL)))
            for block in range(take):
                _write_zeros(rival.path, block * _BLOCK_BYTES)
        return take

    def give_back(self) -> None:
        """Delete the rival: its blocks are free again, and I/O that waits goes on."""
        self._pool.send(f"delete {_RIVAL}")

    def take_metadata(self, leave_blocks: int) -> int:
        """Create further thin devices, each with a block of metadata, until so few are left or the pool refuses."""
        made, status = 0, self.status()
        try:
            for _ in range(status.metadata - status.used_metadata - leave_blocks):
                self._pool.send(f"create_thin {_RIVAL + made + 1}")
                made += 1
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EOPNOTSUPP, errno.EINVAL):
                raise StepFailed("create thin devices", str(error)) from error
        return made

    def extend_metadata(self, metadata_sectors: int) -> None:
        """Make the metadata device so big; a pool that ran out of it works again."""
        self._metadata.swap_table(Table.single(Linear(str(self._spare)), metadata_sectors))
        self._pool.swap_table(self._pool.table)

    def _thin(self, device_id: int) -> Table:
        return Table.single(Thin(str(Path("/dev/mapper") / f"{self._name}-pool"), device_id), self._length_sectors)


class OnThinPool(Fault):
    """A filesystem on a thin device. A subclass says what runs out."""

    targets: ClassVar[frozenset[str]] = frozenset({"linear", "thin-pool", "thin"})
    features: ClassVar[tuple[str, ...]] = ()
    metadata_sectors: ClassVar[int] = 8 << 11

    pool: Pool

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """The pool keeps its metadata on a disk of its own."""
        return "" if machine.spares else "the lab has no spare disk for the pool's metadata"

    def below(self, stack: Below) -> Path:
        """The thin device."""
        self.pool = Pool(stack, self.metadata_sectors, self.features)
        return self.pool.path

    def provisioned(self, scene: Scene) -> None:
        """Have everything that was laid out on its blocks."""
        os.sync()
        scene.note(f"thin pool: {self.pool.status()}")


class Exhausted(OnThinPool, ABC):
    """A pool that can hand out no further block, and fails the writes that need one until it is mended.

    What was stored may be lost, but then no sync may say that it is safe: page_mkwrite cannot know. `exhausted` is the
    mode of such a pool as its status has it, `announced` as the kernel log has it: a filesystem that discards what it
    freed brings a pool back before anybody looks.
    """

    may_lose_unsynced = True
    strikes_before_stores = True
    readable_warm = False
    refuses_metadata: ClassVar[bool] = True
    excused_errnos = SHUT_DOWN | {errno.ENOSPC}
    exhausted: ClassVar[str]
    announced: ClassVar[str]

    _log: KernelLog
    _mode = _said = ""

    @abstractmethod
    def take(self) -> str:
        """Use up what runs out; says how, in words."""

    @abstractmethod
    def give_back(self) -> None:
        """Have enough of it again."""

    def arm(self, scene: Scene) -> None:
        """Everything that was laid out has its blocks."""
        self.provisioned(scene)

    def strike(self, scene: Scene) -> None:
        """Nothing more to be had from now on. Syncs still prove what they say."""
        scene.ledger.append(ledger.Struck(self.name, crash=True))
        self._log = KernelLog()
        scene.note(self.take())

    def before_reading(self, scene: Scene) -> None:
        """The workers may have found room in what was handed out before: then a write of the tool's own meets the end."""
        scene.note(f"a probe write of up to {PROBE_BYTES >> 20} MiB gave {write_probe(scene, PROBE_BYTES) or 'no error'}")

    def mend(self, scene: Scene) -> None:
        """Enough again, and the pool has to notice."""
        self._mode = self.pool.status().mode
        announced = f"{self.pool.number}: switching pool to {self.announced}"
        self._said = next((line for line in self._log.since() if announced in line), "")
        self.give_back()
        if (mode := self.pool.status().mode) != "rw":
            raise StepFailed("mend the thin pool", f"its mode is {mode} though it has what it lacked")

    def proof(self, scene: Scene) -> Proof:
        """It fired when the pool had to refuse a block."""
        fired = self._mode == self.exhausted or bool(self._said)
        return Proof(fired, self._said or f"mode of the pool after the unmount: {self._mode}")


def _write_zeros(device: Path, offset_bytes: int = 0) -> None:
    with opened(device, os.O_WRONLY | os.O_DIRECT) as descriptor:
        os.pwrite(descriptor, mmap.mmap(-1, _PIECE_BYTES), offset_bytes)

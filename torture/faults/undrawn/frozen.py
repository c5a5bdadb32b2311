"""A freeze of the filesystem while workers go on: whoever stores has to wait for the thaw (ioctl FIFREEZE, fs/super.c)."""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from typing import ClassVar

from devicemapper.block_stat import block_stat
from torture.errors import NotRun
from torture.faults.base import Fault, Proof
from torture.rig.blocked import blocked_among
from torture.rig.scene import Scene
from verify import ledger
from verify.ledger_file import read_ledger
from workloads import libc

_TIMEOUT_S = 30.0
_SECTORS_WRITTEN = 6


class Frozen(Fault):
    """Frozen at the gate; thawed when each worker is seen to wait, or has stored. The ledger tells which it was: a store
    that returned before the thaw did not wait."""

    name = "frozen"
    meaning = "the filesystem is frozen until every worker waits"
    moments: ClassVar[tuple[str, ...]] = ("middle",)
    needs = ("freeze",)

    _descriptor = -1
    _stored: Counter[int]
    _sectors = 0
    _undecided: frozenset[int] = frozenset({0})

    def strike(self, scene: Scene) -> None:
        """Freeze; whatever happens, it is thawed before the unmount."""
        self._descriptor = os.open(scene.mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        scene.running.callback(self._thaw)
        failed = libc.errno_of(lambda: libc.freeze(self._descriptor))
        if failed:
            raise NotRun(f"{scene.filesystem.name} cannot be frozen here: {errno.errorcode[failed]}")
        self._stored = _stored(scene)
        self._sectors = block_stat(scene.block_device)[_SECTORS_WRITTEN]

    def while_working(self, scene: Scene) -> None:
        """Wait until each worker waits or has stored, then thaw."""
        deadline = time.monotonic() + _TIMEOUT_S
        while self._undecided and time.monotonic() < deadline:
            blocked = blocked_among(process.pid for process in scene.workers)
            stored = _stored(scene) - self._stored
            undecided = {process.worker for process in scene.workers if process.pid not in blocked} - set(stored)
            self._undecided = frozenset(undecided)
        written = block_stat(scene.block_device)[_SECTORS_WRITTEN] - self._sectors
        scene.ledger.append(ledger.Thawed(written))
        self._thaw()

    def proof(self, scene: Scene) -> Proof:
        """It fired when of each worker it was seen what became of its store."""
        return Proof(
            not self._undecided, f"{len(self._undecided)} workers neither stored nor were blocked within {_TIMEOUT_S:g} s"
        )

    def _thaw(self) -> None:
        if self._descriptor >= 0:
            libc.errno_of(lambda: libc.thaw(self._descriptor))  # EINVAL: it is not frozen
            os.close(self._descriptor)
            self._descriptor = -1


def _stored(scene: Scene) -> Counter[int]:
    """How many stores of each worker have returned."""
    records = read_ledger(scene.ledger_path)
    return Counter(record.worker for record in records if isinstance(record, ledger.Stored))

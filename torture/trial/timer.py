"""When a fault is due that strikes amid the work: a time, or so many writes to the device, after the first store.

Writes are an event of the kernel: those that the block layer has completed (Documentation/block/stat.rst).
"""

from __future__ import annotations

import time

from torture.faults.base import AFTER_MS, AFTER_WRITES, Fault
from torture.faults.power.dropping import writes_completed
from torture.rig.scene import Scene

_STORED = b'["stored",'


class Timer:
    """Begins when the ledger of `scene` says that a store was accepted: nothing could be lost before."""

    def __init__(self, scene: Scene) -> None:
        self._ledger_path, self._block_device = scene.ledger_path, scene.block_device
        self._began_s: float | None = None
        self._before = self._count()

    @staticmethod
    def has(fault: Fault) -> bool:
        """Whether the plan gives the fault a time of its own."""
        return any(fault.values.get(name) for name in (AFTER_MS, AFTER_WRITES))

    def is_due(self, fault: Fault) -> bool:
        """Whether its time has come: of the two, what comes first."""
        if self._began_s is None and _STORED in self._ledger_path.read_bytes():
            self._began_s, self._before = time.monotonic(), self._count()
        if self._began_s is None:
            return False
        after_ms, after_writes = fault.values[AFTER_MS], fault.values[AFTER_WRITES]
        return bool(after_ms and self._elapsed_ms() >= after_ms) or bool(after_writes and self._writes() >= after_writes)

    def __str__(self) -> str:
        return f"{self._elapsed_ms():.0f} ms and {self._writes()} writes after the first store"

    def _elapsed_ms(self) -> float:
        return 0.0 if self._began_s is None else 1000 * (time.monotonic() - self._began_s)

    def _writes(self) -> int:
        return self._count() - self._before

    def _count(self) -> int:
        return writes_completed(self._block_device) if self._block_device.is_block_device() else 0

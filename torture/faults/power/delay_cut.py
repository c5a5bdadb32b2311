"""Power cut while writes are under way: dm-delay on top of dm-flakey, and a cut at a moment drawn from the seed.

What the delay holds when the power goes was submitted by the filesystem and never reaches the disk, as with a queue
full of requests. A plain power cut waits for what is under way, since it swaps the table of the device itself; here it
is the one below. What is dropped may be any of the writes since the last flush that returned, in their order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import ClassVar

from devicemapper.device import MappedDevice
from devicemapper.targets import Flakey
from torture.errors import StepFailed
from torture.faults.base import Fault, Parameter, Proof
from torture.faults.io_errors.delay import slow
from torture.faults.power.dropping import REFUSES, DroppedWrites, flakey_table
from torture.rig.scene import Scene
from verify import ledger

_DELAYS = 6
"""The cut comes within so many delays after the strike."""


class DelayCut(Fault):
    """The workers go on while the power goes; a sync that returns after that proves nothing."""

    name = "delay-cut"
    meaning = "dm-delay holds writes back, and those under way are lost in a power cut"
    targets: ClassVar[frozenset[str]] = frozenset({"delay", "flakey", "linear"})
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "ms": Parameter(20, 1, 5000, "milliseconds that each write is held back"),
        "read_ms": Parameter(0, 0, 5000, "milliseconds that each read is held back"),
    }
    may_lose_unsynced = True
    excused_errnos = REFUSES
    readable_warm = False
    moments: ClassVar[tuple[str, ...]] = ("middle", "start", "late")

    _below: MappedDevice
    _cut: threading.Thread | None = None
    _dropped: DroppedWrites | None = None

    def arm(self, scene: Scene) -> None:
        """Put the layer that will drop below the filesystem's device, and the delay on that."""
        layer = MappedDevice(f"{scene.dm.name}-below", flakey_table(str(scene.disk), scene.length_sectors))
        self._below = scene.below.enter_context(layer)
        scene.swap(slow(str(self._below.path), scene.length_sectors, self.values))

    def strike(self, scene: Scene) -> None:
        """Cut the power a little later, when the workers have gone on."""
        after_s = scene.random.uniform(0, _DELAYS * self.values["ms"] / 1000)
        scene.note(f"the power goes {after_s * 1000:.0f} ms after the workers went on")
        self._cut = threading.Thread(target=self._cut_power, args=(scene, after_s))
        self._cut.start()

    def before_reading(self, scene: Scene) -> None:
        """Wait until the power has gone."""
        if self._cut is not None:
            self._cut.join()

    def mend(self, scene: Scene) -> None:
        """The disk obeys again, without the layer."""
        if self._dropped is None:
            raise StepFailed("power cut", "the table that drops writes could not be loaded")
        self._dropped.stop_counting()
        self.swap_back(scene)
        self._below.remove()

    def proof(self, scene: Scene) -> Proof:
        """It fired when writes came out of the delay and none reached the disk."""
        return self._dropped.proof() if self._dropped else Proof(False, "the power never went")

    def _cut_power(self, scene: Scene, after_s: float) -> None:
        time.sleep(after_s)
        table = flakey_table(str(scene.disk), scene.length_sectors, Flakey.DROP_WRITES)
        scene.ledger.append(ledger.Swap(str(table)))
        self._dropped = DroppedWrites(scene, table, self._below)
        scene.ledger.append(ledger.Struck(self.name, crash=True))

"""A disk that comes and goes: writes of file data are refused and taken in turn, several times while the workers go on.

By default the tables are swapped at gates, so every round meets both. With `seconds`, dm-flakey keeps the time instead
(flakey_map in drivers/md/dm-flakey.c: whole seconds since the table was loaded), gates wait for the next interval, and
what a worker does may straddle two.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from torture.faults.base import Parameter
from torture.faults.io_errors.eio_once import EioOnce
from torture.faults.io_errors.failing_writes import RefusedWrites
from torture.faults.power.dropping import changed
from torture.rig.scene import Scene
from verify import ledger

_MARGIN_S = 0.1


class EioFlapping(EioOnce):
    """As `EioOnce`, again and again."""

    name = "eio-flapping"
    meaning = "writes to file data fail with EIO and are taken again, in turn"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "seconds": Parameter(0, 0, 20, "length of each interval, as long up as down; 0: tables swapped at gates"),
    }
    rounds = 3

    _began_s: float | None = None

    def strike(self, scene: Scene) -> None:
        """Refuse, or wait for the next interval that does."""
        if not self.values["seconds"]:
            super().strike(scene)
            return
        if self._began_s is None:
            scene.ledger.append(ledger.Struck(self.name, crash=True))
            self._load(scene)
        self._wait(odd=True)
        self._counting = RefusedWrites(scene)

    def heal(self, scene: Scene) -> None:
        """Take writes, or wait for the next interval that does."""
        if not self.values["seconds"]:
            super().heal(scene)
            return
        self._have_written(scene)
        self._stop_counting()
        self._wait(odd=False)

    def mend(self, scene: Scene) -> None:
        """No more intervals."""
        self.swap_back(scene)
        self._stop_counting()

    def _load(self, scene: Scene) -> None:
        seconds = self.values["seconds"]
        scene.dm.exchange_table(changed(self._broken(scene), up_s=seconds, down_s=seconds))
        self._began_s = time.monotonic()

    def _wait(self, odd: bool) -> None:
        """Sleep to the beginning of the next odd (refusing) or even interval, unless this is one with time left."""
        assert self._began_s is not None
        seconds = self.values["seconds"]
        interval, within = divmod(time.monotonic() - self._began_s, seconds)
        if interval % 2 == odd and within < seconds / 2:
            return
        ahead = 1 if interval % 2 != odd else 2
        time.sleep(ahead * seconds - within + _MARGIN_S)

"""A disk that comes and goes: dm-flakey takes writes of file data for a second, refuses them for a second, and so on.

The kernel keeps the time (flakey_map in drivers/md/dm-flakey.c: jiffies since the table was loaded, in whole seconds);
gates make the workers meet both phases, several times, within a few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from devicemapper.table import Segment, Table
from devicemapper.targets import Flakey
from torture.faults.base import Parameter
from torture.faults.eio_once import EioOnce
from torture.faults.failing_writes import RefusedWrites
from torture.scene import Scene
from verify import ledger

_MARGIN_S = 0.3


class EioFlapping(EioOnce):
    """One table with an interval for all rounds; at each gate the next phase is waited for."""

    name = "eio-flapping"
    meaning = "writes to file data fail with EIO every other interval"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "seconds": Parameter(1, 1, 20, "length of each interval: as long up as down"),
    }
    rounds = 2

    _began_s: float | None = None

    def strike(self, scene: Scene) -> None:
        """Load the table the first time, and wait for the next interval that refuses."""
        assert scene.mapped is not None
        if self._began_s is None:
            scene.ledger.append(ledger.Struck(self.name, crash=True))
            self._load(scene)
        self._wait(odd=True)
        self._counting = RefusedWrites(scene)

    def heal(self, scene: Scene) -> None:
        """Wait for the next interval that takes writes."""
        self._stop_counting()
        self._wait(odd=False)

    def mend(self, scene: Scene) -> None:
        """No more intervals."""
        assert scene.mapped is not None
        scene.mapped.swap_table(self.table(str(scene.disk), scene.length_sectors))
        self._stop_counting()

    def _load(self, scene: Scene) -> None:
        assert scene.mapped is not None
        seconds = self.values["seconds"]
        table = Table(tuple(_flapping(each, seconds) for each in self._broken(scene).segments))
        self._began_s = time.monotonic()  # the kernel's interval begins when the table is loaded, a little later
        scene.mapped.swap_table(table)

    def _wait(self, odd: bool) -> None:
        """Sleep to the beginning of the next odd (refusing) or even interval, unless this is one with time left."""
        assert self._began_s is not None
        seconds = self.values["seconds"]
        interval, within = divmod(time.monotonic() - self._began_s, seconds)
        if interval % 2 == odd and within < seconds / 2:
            return
        ahead = 1 if interval % 2 != odd else 2
        time.sleep(ahead * seconds - within + _MARGIN_S)


def _flapping(segment: Segment, seconds: int) -> Segment:
    if not isinstance(segment.target, Flakey):
        return segment
    return replace(segment, target=replace(segment.target, up_s=seconds, down_s=seconds))

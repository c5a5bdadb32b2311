"""Replay: all writes are logged by dm-log-writes, then every disk that a power loss could have left is checked.

The only fault that sees a missing flush or FUA. The filesystem goes on working on a snapshot of the scratch disk, so
the scratch disk keeps what it held when the log began; then the log is replayed onto it (torture.crash). Nothing is
lost in the trial itself, which ends with a clean unmount.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from devicemapper.device import MappedDevice
from devicemapper.log_writes import LogReader, is_logging
from devicemapper.table import Table
from devicemapper.targets import LogWrites, Snapshot
from torture.crash.marker import Marker
from torture.crash.replay import Choice, Replay
from torture.errors import StepFailed
from torture.faults.base import Fault, Parameter, Proof
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene


class ReplayedCrashStates(Fault):
    """Every state is mounted, read, judged against the ledger as of its mark, and dropped."""

    name = "replay"
    meaning = "every disk that a power loss could have left, from dm-log-writes"
    targets = frozenset({"linear", "log-writes", "snapshot"})
    judges_crash_states = True
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "states": Parameter(60, 1, 1 << 20, "crash states to check at most"),
        "samples": Parameter(3, 0, 1000, "states drawn from the unflushed writes between two barriers"),
        "fsck": Parameter(8, 1, 1 << 20, "fsck one state in so many, and each that fails"),
    }

    _live: MappedDevice
    _marker: Marker
    _position = 0
    _replay: Replay | None = None

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """It needs two spare disks, and a filesystem that mounts after a power loss."""
        if len(machine.spares) < 2:
            return "the lab has no spare disks for a log of writes"
        if row.recovery or not row.has("journal"):
            return f"{row.name} does not recover by itself when it is mounted after a power loss"
        return row.void("sync promise")

    def arm(self, scene: Scene) -> None:
        """Begin to log. What is on the disk now counts as durable."""
        log, store = scene.spares[:2]
        length = scene.length_sectors
        layer = MappedDevice(f"{scene.dm.name}-live", Table.single(Snapshot(str(scene.disk), str(store)), length))
        self._live = scene.below.enter_context(layer)
        self._marker = Marker(scene.dm, scene.ledger_path)
        scene.swap(Table.single(LogWrites(str(layer.path), str(log)), length))
        self._position = self._marker.start()

    def mend(self, scene: Scene) -> None:
        """Check the crash states; afterwards the scratch disk holds everything that was written."""
        self._marker.stop()
        if not is_logging(scene.dm.status()):
            raise StepFailed("log of writes", "the log device was full, and the kernel stopped logging")
        self.swap_back(scene)
        log, store = scene.spares[:2]
        with LogReader(log) as reader:
            self._replay = Replay(scene, reader, self._position, Choice(**self.values))
            self._replay.survey(self._live.path)
            self._live.remove()
            self._replay.run(store)
        self.swap_back(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when there were writes to replay and states were checked."""
        if self._replay is None:
            return Proof(False, "nothing was replayed")
        tally = self._replay.tally
        return Proof(tally.entries > 0 and tally.checked > 0, str(tally))

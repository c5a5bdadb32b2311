"""The scene of one trial, as faults and steps see it: the block stack, the mount, the ledger and what was observed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from devicemapper.device import MappedDevice
from torture.filesystems import Filesystem
from torture.plan import Plan
from torture.rig.record import LEDGER
from verify.ledger import File, LedgerWriter
from workloads.worker import WorkerProcess

TURNED_AWAY = "turned away"
"""In `Scene.refusals`: a worker that ended because of the errno that follows."""


@dataclass(slots=True)
class Scene:
    """Mutable facts of the trial under way; made by `torture.trial`, handed to every fault.

    `disk` is the scratch block device at the bottom, `mapped` the dm device on it (None where the lab has no device-
    mapper), `mount_point` where the filesystem under test is mounted, `length_sectors` the size of the stack,
    `directory` the trial's own directory for evidence, off the device under test, `refusals` what the workers were
    told, such as {"store SIGBUS": 3, "sync ENOSPC": 1}. `files` are all that the layout made, `workers` those that run,
    `late` the numbers of those that a gate did not wait for any longer. `spares` are disks for logs and copies, empty
    where the lab has none. What a fault enters into `below` is undone after the dm device is removed, what into `running`
    before the filesystem is unmounted. Workers run as user `uid` and group `gid`. `heartbeat` is to be called now and
    then by whatever takes longer than a minute; `cut_power` ends the guest, and does not return.
    """

    plan: Plan
    filesystem: Filesystem
    disk: Path
    length_sectors: int
    mount_point: Path
    directory: Path
    ledger: LedgerWriter
    random: Random
    mapped: MappedDevice | None = None
    files: list[File] = field(default_factory=list)
    spares: tuple[Path, ...] = ()
    workers: list[WorkerProcess] = field(default_factory=list)
    below: ExitStack = field(default_factory=ExitStack)
    running: ExitStack = field(default_factory=ExitStack)
    uid: int = 0
    gid: int = 0
    heartbeat: Callable[[], None] = lambda: None
    cut_power: Callable[[], None] = lambda: None
    refusals: Counter[str] = field(default_factory=Counter)
    evidence: list[str] = field(default_factory=list)
    late: set[int] = field(default_factory=set)

    @property
    def block_device(self) -> Path:
        """What is formatted, mounted and checked."""
        return self.mapped.path if self.mapped else self.disk

    @property
    def ledger_path(self) -> Path:
        """The ledger that workers and faults append to."""
        return self.directory / LEDGER

    def note(self, text: str) -> None:
        """Keep a sentence of evidence with the trial."""
        self.evidence.append(text)

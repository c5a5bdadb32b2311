"""The scene of one trial, as faults and steps see it: the block stack, the mount, the ledger and what was observed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from devicemapper.device import MappedDevice
from devicemapper.table import Table
from torture.filesystems import Filesystem
from torture.plan import Plan
from torture.rig.record import LEDGER
from torture.rig.remount import FILES
from verify.finding import Finding
from verify.ledger import File
from verify.ledger_file import LedgerWriter
from workloads.worker import WorkerProcess

TURNED_AWAY = "turned away"
"""In `Scene.refusals`: a worker that ended because of the errno that follows."""


@dataclass(slots=True)
class Scene:
    """Mutable facts of the trial under way; made by `torture.trial`, handed to every fault."""

    plan: Plan
    filesystem: Filesystem
    disk: Path
    """The block device at the bottom of the stack."""
    length_sectors: int
    """The size of the stack."""
    mount_point: Path
    """Where the filesystem under test is mounted."""
    directory: Path
    """The trial's own directory for evidence, off the device under test."""
    ledger: LedgerWriter
    random: Random
    mapped: MappedDevice | None = None
    """The dm device on `disk`, None where the lab has no device-mapper."""
    files: list[File] = field(default_factory=list)
    """All that the layout made."""
    spares: tuple[Path, ...] = ()
    """Further disks for logs and copies, empty where the lab has none."""
    workers: list[WorkerProcess] = field(default_factory=list)
    """Those that run."""
    below: ExitStack = field(default_factory=ExitStack)
    """What a fault enters here is undone after the dm device is removed."""
    running: ExitStack = field(default_factory=ExitStack)
    """What a fault enters here is undone before the filesystem is unmounted."""
    uid: int = 0
    """The user that workers run as."""
    gid: int = 0
    """The group that workers run as."""
    heartbeat: Callable[[], None] = lambda: None
    """To be called now and then by whatever takes longer than a minute."""
    cut_power: Callable[[], None] = lambda: None
    """Ends the guest, and does not return."""
    refusals: Counter[str] = field(default_factory=Counter)
    """What the workers were told, such as {"store SIGBUS": 3, "sync ENOSPC": 1}."""
    evidence: list[str] = field(default_factory=list)
    """Sentences that are kept with the trial."""
    broken: list[Finding] = field(default_factory=list)
    """Promises that were seen to be broken before the files are read."""
    sound_disk: bool = True
    """Whether no fault makes the disk refuse or lose anything."""
    late: set[int] = field(default_factory=set)
    """The numbers of the workers that a gate did not wait for any longer."""

    @property
    def dm(self) -> MappedDevice:
        """`mapped`, for those who are not tried without: faults with `targets`, for instance."""
        assert self.mapped is not None
        return self.mapped

    def swap(self, table: Table) -> None:
        """Put another table of the dm device in force; I/O under way completes through the old one."""
        self.dm.swap_table(table)

    @property
    def block_device(self) -> Path:
        """What is formatted, mounted and checked."""
        return self.mapped.path if self.mapped else self.disk

    @property
    def files_directory(self) -> Path:
        """The directory on the filesystem under test that holds its files."""
        return self.mount_point / FILES

    @property
    def ledger_path(self) -> Path:
        """The ledger that workers and faults append to."""
        return self.directory / LEDGER

    def note(self, text: str) -> None:
        """Keep a sentence of evidence with the trial."""
        self.evidence.append(text)

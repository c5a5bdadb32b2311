"""Carries out the experiments on one filesystem, in the kernel this process runs on: stage after stage, in a directory
that the host reads (`ENTRIES`, one JSON line for each experiment and arm).

A stage that cannot be set up leaves `unknown`, what is missing `notrun`, each with the reason; what a filesystem does
is never an exception.
"""

from __future__ import annotations

import errno
import mmap
import os
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path
from random import Random

from devicemapper import in_use, mounts, tools
from devicemapper.device import MappedDevice
from devicemapper.errors import BlockStackError
from devicemapper.loop import LoopDevice
from torture.contract.acting import Case, act_here, acting_apart
from torture.contract.actor import Told, name_of
from torture.contract.clauses import EXPERIMENTS
from torture.contract.experiment import Experiment
from torture.contract.recovery import recover
from torture.contract.stages import STAGES, Stage
from torture.contract.subject import Subject
from torture.contract.verdict import ARMS, PINNED, Entry, Judgement, Verdict
from torture.errors import NotRun, StepFailed
from torture.filesystems import Filesystem, filesystem
from torture.plan import Plan
from torture.rig.machine import Machine, filesystem_missing
from torture.rig.scene import Scene
from verify.ledger import LedgerWriter
from workloads import libc, limits
from workloads.requirements import check_memlock
from workloads.unsupported import Unsupported

ENTRIES = "entries.jsonl"
COMMANDS = "commands.log"
MKFS_TIMEOUT_S = 120.0
_FILES = "files"


def run(name: str, machine: Machine, directory: Path, announce: Callable[[str], None]) -> None:
    """Every stage on the filesystem `name`; `announce` is told the name of each as it begins."""
    row = filesystem(name)
    missing = filesystem_missing(row, machine.modules) or ("nothing survives its unmount" if row.volatile else "")
    with open(directory / ENTRIES, "a", buffering=1) as book, tools.logging_to(directory / COMMANDS):
        for stage in STAGES:
            announce(stage.name)
            entries = _StageRun(stage, row, machine, directory, missing).entries()
            book.writelines(f"{entry.to_json()}\n" for entry in entries)


def experiments(stage: str) -> list[tuple[Experiment, str]]:
    """The experiments of a stage, each in both arms, in order."""
    return [(experiment, arm) for experiment in EXPERIMENTS if experiment.stage == stage for arm in ARMS]


class _StageRun:
    """One stage on one filesystem; `entries` reads top to bottom."""

    def __init__(self, stage: Stage, row: Filesystem, machine: Machine, directory: Path, missing: str) -> None:
        self._stage, self._row, self._ground, self._directory = stage, row, machine, directory
        self._missing = missing or stage.missing(row, machine)
        self._mount_point = machine.work / "mnt"
        stamp_run = secrets.randbits(64)
        self._cases = [
            Case(experiment, self._subject(number, stamp_run, experiment, arm))
            for number, (experiment, arm) in enumerate(experiments(stage.name), 1)
        ]

    def entries(self) -> list[Entry]:
        """Carry out and judge everything."""
        try:
            if self._missing:
                raise NotRun(self._missing)
            self._carry_out()
        except NotRun as error:
            self._settle(Verdict.notrun, str(error))
        except (StepFailed, BlockStackError, OSError) as error:
            self._settle(Verdict.unknown, f"stage {self._stage.name}: {error}")
        return [_entry(case) for case in self._cases]

    def _subject(self, number: int, stamp_run: int, experiment: Experiment, arm: str) -> Subject:
        path = self._mount_point / _FILES / f"c{experiment.clause:02}-{experiment.name}-{arm}"
        return Subject(path, number, stamp_run, experiment.pages, arm, mmap.PAGESIZE)

    def _carry_out(self) -> None:
        with ExitStack() as stack:
            scene = self._build(stack)
            options = [*self._row.mkfs, *self._stage.mkfs_options(self._row), str(scene.block_device)]
            if self._ground.given:
                in_use.check(scene.block_device)
            tools.run(options, timeout_s=MKFS_TIMEOUT_S)
            with ExitStack() as mounted:
                self._mount_first(scene, mounted)
                self._prepare(scene)
                self._stage.ready(scene, self._ground)
                self._act_and_strike(scene)
            self._stage.mend(scene)
            self._remount_and_judge(scene)

    def _build(self, stack: ExitStack) -> Scene:
        disk, length_sectors = self._ground.disk, self._row.size_mib * 2048
        if not disk.is_block_device():
            disk = stack.enter_context(LoopDevice(disk, size_bytes=length_sectors * 512)).path
        mapped = None
        if self._ground.device_mapper:
            table = self._stage.table(str(disk), length_sectors)
            mapped = stack.enter_context(MappedDevice(f"{self._ground.run_id}-{self._stage.name}", table))
        self._mount_point.mkdir(exist_ok=True)
        return Scene(
            plan=Plan(seed=0, filesystem=self._row.name, files=(), workers=()),
            filesystem=self._row,
            disk=disk,
            length_sectors=length_sectors,
            mount_point=self._mount_point,
            directory=self._directory,
            ledger=stack.enter_context(LedgerWriter(self._directory / f"{self._stage.name}.ledger")),
            random=Random(0),
            mapped=mapped,
        )

    def _mounted(self, scene: Scene) -> AbstractContextManager[Path]:
        options = (*self._row.mount_options, *self._stage.mount_options(self._row))
        return mounts.mount(scene.block_device, scene.mount_point, self._row.type, options)

    def _mount_first(self, scene: Scene, mounted: ExitStack) -> None:
        """NotRun if the kernel does not know the stage's own options: without them, the stages before it mounted."""
        try:
            mounted.enter_context(self._mounted(scene))
        except mounts.MountFailed as error:
            options = self._stage.mount_options(self._row)
            if error.errno == errno.EINVAL and options:
                raise NotRun(f"the kernel's {self._row.type} does not take -o {','.join(options)}") from error
            raise

    def _prepare(self, scene: Scene) -> None:
        unlockable = self._unlockable()
        files = scene.mount_point / _FILES
        files.mkdir()
        files.chmod(0o777)
        for case in self._cases:
            if reason := case.experiment.missing(self._row) or (unlockable if case.subject.pin == PINNED else ""):
                case.judgement = Judgement(Verdict.notrun, reason)
                continue
            try:
                case.experiment.prepare(case.subject)
            except Unsupported as error:
                case.judgement = Judgement(Verdict.notrun, str(error))
        _sync_all(scene.mount_point)

    def _unlockable(self) -> str:
        """Why not everything can be pinned, "" if it can."""
        needed = sum(case.subject.size_bytes for case in self._cases if case.subject.pin == PINNED)
        return str(check_memlock(needed, limits.attainable_memlock_bytes(limits.UNLIMITED)) or "")

    def _act_and_strike(self, scene: Scene) -> None:
        cases = [case for case in self._cases if case.judgement is None]
        if self._stage.privileged:
            act_here(cases, scene)
            self._stage.strike(scene)
            return
        with acting_apart(cases, scene, self._ground, self._directory / f"{self._stage.name}.jsonl"):
            self._stage.strike(scene)

    def _remount_and_judge(self, scene: Scene) -> None:
        recovery = self._row.recovery
        if self._stage.crash and recovery:
            recover(recovery, scene.block_device)
        try:
            with self._mounted(scene):
                for case in self._cases:
                    if case.judgement is None and case.told:
                        case.judgement = self._judged(case.experiment, case.subject, case.told)
        except mounts.MountFailed as error:
            self._settle(Verdict.broken, f"it cannot be mounted again: {error}")

    def _judged(self, experiment: Experiment, subject: Subject, told: Told) -> Judgement:
        if told.pin and not experiment.pin_may_fail:
            return Judgement(Verdict.unknown, f"mlock failed with {name_of(told.pin)}: nothing was pinned")
        try:
            return experiment.judge(subject, told)
        except OSError as error:
            return Judgement(Verdict.broken, f"it cannot be read back: {error}")

    def _settle(self, verdict: Verdict, words: str) -> None:
        """The judgement of all that have none."""
        for case in self._cases:
            if case.judgement is None:
                case.judgement = Judgement(verdict, words)


def _entry(case: Case) -> Entry:
    judged = case.judgement or Judgement(Verdict.unknown, "it was never judged")
    evidence = asdict(case.told) if case.told else {}
    experiment = case.experiment
    return Entry(experiment.clause, experiment.name, case.subject.pin, judged.verdict, judged.words, evidence)


def _sync_all(mount_point: Path) -> None:
    """Everything that was made, directory entries included."""
    descriptor = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc.syncfs(descriptor)
    finally:
        os.close(descriptor)

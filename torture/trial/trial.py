"""One trial: a plan carried out once, in the kernel this process runs on.

The phases are those of design.md section 3: stack, layout, work, break, drop, mend, judge (which here only observes:
the verdict is `torture.judge`'s, on the host, from what is left behind). A failing set-up step ends the trial as
`unknown`, a missing requirement as `notrun`; whatever happens, everything the trial made is undone in reverse order.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

from devicemapper import in_use, mounts, tools
from devicemapper.device import MappedDevice
from devicemapper.errors import BlockStackError
from devicemapper.loop import LoopDevice
from devicemapper.uevents import UeventRecord
from torture import faults
from torture.errors import BadRequest, BrokenPromise, Hung, NotRun, StepFailed
from torture.faults.base import Below, Fault, Proof
from torture.faults.gates import readable_warm
from torture.filesystems import Filesystem, filesystem
from torture.filesystems.mounted import look
from torture.plan import Plan
from torture.rig import block_evidence, remount
from torture.rig.fs_errors import FsErrors
from torture.rig.kernel_log import KernelLog, alarms, data_races
from torture.rig.machine import Machine
from torture.rig.record import COMMANDS, KERNEL_LOG, LEDGER, POWER_OFF, Record
from torture.rig.scene import Scene
from torture.trial import requirements
from torture.trial.layout import keep_extents, lay_out
from torture.trial.workers import Workers
from verify import ledger
from verify.ledger_file import LedgerWriter, read_ledger
from verify.stamp import SECTOR_BYTES
from workloads.unsupported import Unsupported

MKFS_TIMEOUT_S = 60.0

Announce = Callable[[str], None]


def run_trial(plan: Plan, machine: Machine, directory: Path, announce: Announce) -> Record:
    """Carry out `plan`; its ledger, observations, logs and record are left in `directory`, which exists.

    `announce` is told the name of each phase as it begins. Never raises for what a filesystem does.
    """
    return _recorded(_Trial(plan, machine, directory, announce, Record()), _Trial.carry_out)


def go_on(plan: Plan, machine: Machine, directory: Path, announce: Announce) -> Record:
    """Go on with a trial whose guest was killed by a fault of it: mend, mount and observe. As `run_trial` otherwise."""
    return _recorded(_Trial(plan, machine, directory, announce, Record.read(directory)), _Trial.go_on)


def _recorded(trial: _Trial, act: Callable[[_Trial], None]) -> Record:
    """What `act` raises, and all else that is known of the trial, is in its record at the end."""
    record = trial.record
    try:
        act(trial)
        record.state, record.reason = "ran", ""
    except (NotRun, Unsupported, BadRequest) as error:
        record.state, record.reason = "notrun", str(error)
    except BrokenPromise as error:
        record.state, record.reason = "ran", ""
        record.broken.append(error.finding)
    except (Hung, mounts.MountHung) as error:
        record.state, record.reason = "ran", ""
        record.hung = f"{error}\n{error.evidence}" if isinstance(error, Hung) else str(error)
    except (StepFailed, BlockStackError, OSError) as error:
        kind = f"{type(error).__name__}: " if isinstance(error, OSError) else ""
        record.state, record.reason = "unknown", f"{kind}{error}"
    finally:
        trial.keep_kernel_log()
        record.write(trial.directory)
    return record


class _Trial:
    """The state of one trial while it runs; `carry_out` reads top to bottom."""

    def __init__(self, plan: Plan, machine: Machine, directory: Path, announce: Announce, record: Record) -> None:
        self.plan, self.machine, self.directory, self.announce = plan, machine, directory, announce
        self.record = record
        self.kernel_log = KernelLog()
        self.fs_errors = FsErrors()
        self.uevents = UeventRecord()
        self.devices: list[str] = []
        self.files: list[ledger.File] = []
        self.faults: list[Fault] = []
        self.proofs: dict[str, Proof] = {}

    def carry_out(self) -> None:
        row = filesystem(self.plan.filesystem)
        self.faults = [faults.make(spec) for spec in self.plan.faults]
        with ExitStack() as stack:
            stack.enter_context(tools.logging_to(self.directory / COMMANDS))
            stack.enter_context(self.fs_errors)
            stack.enter_context(self.uevents)
            with self._phase("stack"):
                self.record.kernel = requirements.check(self.plan, row, self.faults, self.machine)
                scene = self._build(row, stack)
            mounted = stack.enter_context(ExitStack())
            with self._phase("stack"):
                self._make_filesystem(scene, mounted)
            with self._phase("layout"):
                lay_out(scene)
                for fault in self.faults:
                    fault.arm(scene)
            self._work_and_break(scene, mounted)
            self._mend_and_judge(scene, mounted)

    def go_on(self) -> None:
        row = filesystem(self.plan.filesystem).as_found(self.record.found)
        self.faults = [faults.make(spec) for spec in self.plan.faults]
        self.files += (each for each in read_ledger(self.directory / LEDGER) if isinstance(each, ledger.File))
        with ExitStack() as stack:
            stack.enter_context(tools.logging_to(self.directory / COMMANDS))
            with self._phase("stack"):
                requirements.check(self.plan, row, self.faults, self.machine)
                scene = self._build(row, stack)
                self._prove(scene, crashes=False)
            self._mend_and_judge(scene, stack.enter_context(ExitStack()))

    def _mend_and_judge(self, scene: Scene, mounted: ExitStack) -> None:
        with self._phase("mend"):
            if not self._mend_and_mount(scene, mounted):
                return
        with self._phase("judge"):
            self._observe(scene, "cold")
            keep_extents(scene)
            mounted.close()
            self.record.checked.append(remount.check(scene.filesystem, scene.block_device))

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self.announce(name)
        began = time.monotonic()
        try:
            yield
        finally:
            self.record.phases[name] = self.record.phases.get(name, 0.0) + time.monotonic() - began

    def keep_kernel_log(self) -> None:
        """Everything the kernel said since the trial began, and its alarms."""
        lines = self.kernel_log.since()
        with open(self.directory / KERNEL_LOG, "a", encoding="utf-8") as log:
            log.writelines(f"{line}\n" for line in lines)
        self.record.alarms += alarms(lines, sound_disk=faults.spare_disk(self.faults))
        self.record.evidence += data_races(lines)
        if not self.kernel_log.readable:
            self.record.evidence.append("the kernel log could not be read, so its alarms are not known")
        self.record.tainted = self.kernel_log.tainted
        if self.devices:
            self.record.evidence.append(self.uevents.missing or block_evidence.uevents(self.uevents.events(), self.devices))

    def _cut_power(self) -> None:
        """Have the guest killed; `go_on` takes over in the next one."""
        self.record.state, self.record.reason = "unknown", "the guest was to be killed, and none went on with the trial"
        self.keep_kernel_log()
        self.record.write(self.directory)
        self.announce(POWER_OFF)
        while True:
            signal.pause()

    # -- stack ---------------------------------------------------------------------------------------------------

    def _build(self, row: Filesystem, stack: ExitStack) -> Scene:
        disk, length_sectors = self.machine.disk, row.size_mib * 2048
        if not disk.is_block_device():
            disk = stack.enter_context(LoopDevice(disk, size_bytes=length_sectors * SECTOR_BYTES)).path
        below = stack.enter_context(ExitStack())
        name = f"{self.machine.run_id}-{self.directory.name}"
        for fault in self.faults:
            disk = fault.below(Below(disk, length_sectors, self.machine.spares, name, below))
        mapped = None
        if self.machine.device_mapper:
            tables = [fault.table(str(disk), length_sectors) for fault in self.faults]
            decisive = [table for table, fault in zip(tables, self.faults, strict=True) if fault.targets]
            mapped = stack.enter_context(MappedDevice(name, (decisive or tables)[-1]))
        self.devices = [in_use.kernel_name(path) for path in (disk, *([mapped.path] if mapped else []))]
        mount_point = self.machine.work / "mnt"
        mount_point.mkdir(exist_ok=True)
        writer = stack.enter_context(LedgerWriter(self.directory / LEDGER))
        if not self.files:
            writer.append(
                ledger.Begin(ledger.LEDGER_VERSION, self.plan.stamp_run, self.plan.page_bytes, self.plan.identity)
            )
        return Scene(
            plan=self.plan,
            filesystem=row,
            disk=disk,
            length_sectors=length_sectors,
            mount_point=mount_point,
            directory=self.directory,
            ledger=writer,
            random=Random(self.plan.seed),
            mapped=mapped,
            files=self.files,
            broken=self.record.broken,
            sound_disk=faults.spare_disk(self.faults),
            spares=self.machine.spares,
            below=below,
            uid=self.machine.uid,
            gid=self.machine.gid,
            heartbeat=lambda: self.announce("mend"),
            cut_power=self._cut_power,
        )

    def _make_filesystem(self, scene: Scene, mounted: ExitStack) -> None:
        row = scene.filesystem
        further = [word for fault in self.faults for word in fault.options(row).mkfs]
        if self.machine.given:
            in_use.check(scene.block_device)
        with requirements.refusable(self.plan):
            tools.run([*row.mkfs, *further, *self.plan.mkfs_options, str(scene.block_device)], timeout_s=MKFS_TIMEOUT_S)
            self._mount(scene, mounted)
        self.record.found = look(scene.block_device, scene.mount_point, row.reading)
        scene.filesystem = replace(row.as_found(self.record.found), block_bytes=os.statvfs(scene.mount_point).f_bsize)
        requirements.check_mounted(self.plan, scene.filesystem, self.faults, self.machine)
        self.fs_errors.watch(scene.mount_point)
        if self.fs_errors.missing:
            scene.note(f"the kernel does not report FAN_FS_ERROR: {self.fs_errors.missing}")

    def _hear(self, scene: Scene) -> None:
        """What the kernel said of errors of the filesystem, for the ledger: a report of what was stored before."""
        for error in self.fs_errors.heard():
            scene.ledger.append(error)
            name = errno.errorcode.get(error.errno, str(error.errno))
            scene.note(f"the filesystem reported {error.count} errors (FAN_FS_ERROR), the first {name}")

    def _mount(self, scene: Scene, mounted: ExitStack) -> None:
        further = [word for fault in self.faults for word in fault.options(scene.filesystem).mount]
        options = (*scene.filesystem.mount_options, *further, *self.plan.mount_options)
        mounted.enter_context(mounts.mount(scene.block_device, scene.mount_point, scene.filesystem.type, options))

    # -- work and break ------------------------------------------------------------------------------------------

    def _work_and_break(self, scene: Scene, mounted: ExitStack) -> None:
        with ExitStack() as held:
            held.enter_context(scene.running)
            workers = Workers(scene, self.faults, self._phase, lambda: self._hear(scene))
            workers.carry_out(held)
            self.proofs = workers.proofs
            with self._phase("drop"):
                for fault in self.faults:
                    fault.before_reading(scene)
                scene.running.close()
                if readable_warm(self.plan, self.faults):
                    self._observe(scene, "warm")
                workers.end()
        with self._phase("drop"):
            self._prove(scene, crashes=False)
            if not scene.filesystem.volatile:
                mounted.close()
            self._hear(scene)

    def _prove(self, scene: Scene, crashes: bool) -> None:
        """Faults of the block stack prove themselves after the unmount, the others before it."""
        for fault in self.faults:
            if bool(fault.targets or fault.canary) == crashes:
                proof = self.proofs.get(fault.name) or fault.proof(scene)
                self.record.proofs.append((fault.name, proof.fired, proof.evidence))

    # -- mend and judge ------------------------------------------------------------------------------------------

    def _mend_and_mount(self, scene: Scene, mounted: ExitStack) -> bool:
        """False when the filesystem would not mount again: a finding, not a failed step."""
        if scene.mapped and any(fault.targets for fault in self.faults):
            scene.note(block_evidence.status(scene.mapped.status()))
        for fault in reversed(self.faults):
            fault.mend(scene)
        self._prove(scene, crashes=True)
        self.record.evidence += scene.evidence
        if (row := scene.filesystem).volatile:
            return True
        try:
            if row.recovery and any(fault.may_lose_unsynced or fault.canary for fault in self.faults):
                # A canary judges the tool, and its loss is planted.
                must = any(fault.may_lose_unsynced for fault in self.faults)
                self.record.checked.append(remount.recover(row.recovery, scene.block_device, must=must))
            self._mount(scene, mounted)
        except BlockStackError as error:
            self.record.unmountable = str(error)
            return False
        for fault in self.faults:
            fault.remounted(scene)
        return True

    def _observe(self, scene: Scene, read: str) -> None:
        run, page_bytes = self.plan.stamp_run, self.plan.page_bytes
        remount.observe(self.files, scene.mount_point, self.directory, read, run=run, page_bytes=page_bytes)

"""One trial: a plan carried out once, in the kernel this process runs on.

The phases are those of design.md section 3: stack, layout, work, break, drop, mend, judge (which here only observes:
the verdict is `torture.judge`'s, on the host, from what is left behind). A failing set-up step ends the trial as
`unknown`, a missing requirement as `notrun`; whatever happens, everything the trial made is undone in reverse order.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

from devicemapper import mounts, tools
from devicemapper.device import MappedDevice
from devicemapper.errors import BlockStackError
from devicemapper.loop import LoopDevice
from devicemapper.uevents import UeventRecord
from torture import evidence, faults, gates, requirements
from torture.errors import BadRequest, Hung, NotRun, StepFailed
from torture.faults.base import Fault
from torture.filesystems import Filesystem, Recovery, filesystem
from torture.fs_errors import FsErrors
from torture.ground import Ground
from torture.kernel_log import KernelLog, alarms
from torture.moments import STRIKE, readable_warm
from torture.plan import Plan
from torture.record import COMMANDS, EXTENTS, KERNEL_LOG, LEDGER, Record
from torture.scene import Scene
from verify import ledger
from verify.ledger import LedgerWriter
from verify.observation import write_observations
from verify.reader import observe_file
from workloads import layouts, libc, worker
from workloads.access import ACCESSES
from workloads.plan import WorkerPlan
from workloads.unsupported import Unsupported
from workloads.worker import WorkerProcess, WorkerReport

WORKER_TIMEOUT_S = 60.0
CHECK_TIMEOUT_S = 120.0
MKFS_TIMEOUT_S = 60.0
PHASES = ("stack", "layout", "work", "break", "drop", "mend", "judge")

Announce = Callable[[str], None]


def run_trial(plan: Plan, ground: Ground, directory: Path, announce: Announce) -> Record:
    """Carry out `plan`; its ledger, observations, logs and record are left in `directory`, which exists.

    `announce` is told the name of each phase as it begins. Never raises for what a filesystem does.
    """
    trial = _Trial(plan, ground, directory, announce)
    record = trial.record
    try:
        trial.carry_out()
        record.state, record.reason = "ran", ""
    except (NotRun, Unsupported, BadRequest) as error:
        record.state, record.reason = "notrun", str(error)
    except Hung as error:
        record.state, record.reason, record.hung = "ran", "", f"{error}\n{error.evidence}"
    except mounts.MountHung as error:
        record.state, record.reason, record.hung = "ran", "", str(error)
    except (StepFailed, BlockStackError) as error:
        record.state, record.reason = "unknown", str(error)
    except OSError as error:
        record.state, record.reason = "unknown", f"{type(error).__name__}: {error}"
    finally:
        trial.keep_kernel_log()
        record.write(directory)
    return record


class _Trial:
    """The state of one trial while it runs; `carry_out` reads top to bottom."""

    def __init__(self, plan: Plan, ground: Ground, directory: Path, announce: Announce) -> None:
        self.plan, self.ground, self.directory, self.announce = plan, ground, directory, announce
        self.record = Record()
        self.kernel_log = KernelLog()
        self.fs_errors = FsErrors()
        self.uevents = UeventRecord()
        self.devices: list[str] = []
        self.files: list[ledger.File] = []
        self.faults: list[Fault] = []

    def carry_out(self) -> None:
        row = filesystem(self.plan.filesystem)
        self.faults = [faults.make(spec) for spec in self.plan.faults]
        with ExitStack() as stack:
            stack.enter_context(tools.logging_to(self.directory / COMMANDS))
            stack.enter_context(self.fs_errors)
            stack.enter_context(self.uevents)
            with self._phase("stack"):
                self.record.kernel = requirements.check(self.plan, row, self.faults, self.ground)
                scene = self._build(row, stack)
            mounted = stack.enter_context(ExitStack())
            with self._phase("stack"):
                self._make_filesystem(scene, mounted)
            with self._phase("layout"):
                self._lay_out(scene)
            self._work_and_break(scene, mounted)
            with self._phase("mend"):
                if not self._mend_and_mount(scene, mounted):
                    return
            with self._phase("judge"):
                self._observe(scene, "cold")
                self._keep_extents(scene)
                mounted.close()
                self._check(scene)

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
        (self.directory / KERNEL_LOG).write_text("".join(f"{line}\n" for line in lines))
        self.record.alarms = alarms(lines)
        if not self.kernel_log.readable:
            self.record.evidence.append("the kernel log could not be read, so its alarms are not known")
        self.record.tainted = self.kernel_log.tainted
        if self.devices:
            self.record.evidence.append(self.uevents.missing or evidence.uevents(self.uevents.events(), self.devices))

    # -- stack ---------------------------------------------------------------------------------------------------

    def _build(self, row: Filesystem, stack: ExitStack) -> Scene:
        disk, length_sectors = self.ground.disk, row.size_mib * 2048
        if not disk.is_block_device():
            disk = stack.enter_context(LoopDevice(disk, size_bytes=length_sectors * 512)).path
        below = stack.enter_context(ExitStack())
        mapped = None
        if self.ground.device_mapper:
            table = self.faults[0].table(str(disk), length_sectors) if self.faults else None
            for fault in self.faults:
                if fault.targets:
                    table = fault.table(str(disk), length_sectors)
            assert table is not None
            mapped = stack.enter_context(MappedDevice(f"{self.ground.run_id}-{self.directory.name}", table))
        self.devices = [evidence.kernel_name(path) for path in (disk, *([mapped.path] if mapped else []))]
        mount_point = self.ground.work / "mnt"
        mount_point.mkdir(exist_ok=True)
        writer = stack.enter_context(LedgerWriter(self.directory / LEDGER))
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
            spares=self.ground.spares,
            below=below,
            heartbeat=lambda: self.announce("mend"),
        )

    def _make_filesystem(self, scene: Scene, mounted: ExitStack) -> None:
        row = scene.filesystem
        tools.run([*row.mkfs, *self.plan.mkfs_options, str(scene.block_device)], timeout_s=MKFS_TIMEOUT_S)
        self._mount(scene, mounted)
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
        options = (*scene.filesystem.mount_options, *self.plan.mount_options)
        mounted.enter_context(
            mounts.mount(scene.block_device, scene.mount_point, scene.filesystem.type, options)
        )

    # -- layout --------------------------------------------------------------------------------------------------

    def _lay_out(self, scene: Scene) -> None:
        directory = scene.mount_point / "files"
        directory.mkdir()
        for file in self.plan.files:
            self.files += layouts.create(
                file.layout,
                directory,
                file.name,
                file=file.file,
                pages=file.pages,
                page_bytes=self.plan.page_bytes,
                run=self.plan.stamp_run,
            )
        for spec in self.plan.workers:
            path = directory / spec.path
            ACCESSES[spec.access].prepare(path, spec.first_page, spec.pages, self.plan.page_bytes)
        for record in self.files:
            scene.ledger.append(record)
        _make_durable(scene.mount_point)
        for fault in self.faults:
            fault.arm(scene)

    # -- work and break ------------------------------------------------------------------------------------------

    def _work_and_break(self, scene: Scene, mounted: ExitStack) -> None:
        with ExitStack() as workers:
            with self._phase("work"):
                self._strike(scene, first=True)
                running = [workers.enter_context(self._start(spec, scene)) for spec in self.plan.workers]
                scene.workers[:] = running
            for gate in gates.all_gates(self.plan, self.faults):
                self._pass_gate(gate, scene)
            with self._phase("work"):
                for process in running:
                    self._wait(process)
                self._hear(scene)
                scene.refusals = _refusals(self.directory / LEDGER)
            if not any(gates.waits_at(spec, STRIKE) for spec in self.plan.workers):
                with self._phase("break"):
                    self._strike(scene, first=False)
            with self._phase("drop"):
                for fault in self.faults:
                    fault.relent(scene)
                if readable_warm(self.plan, self.faults):
                    self._observe(scene, "warm")
                for process in running:
                    self._end(process)
        with self._phase("drop"):
            self._prove(scene, crashes=False)
            mounted.close()
            self._hear(scene)

    def _pass_gate(self, gate: str, scene: Scene) -> None:
        """Let the faults strike or heal while the workers stand at the gate, and then let them go on."""
        patience_s = min((fault.patience_s for fault in self.faults), default=WORKER_TIMEOUT_S)
        with self._phase("work"):
            gated = gates.assemble(gate, scene, patience_s)
        if gated:
            with self._phase("break"):
                if gate == STRIKE:
                    self._strike(scene, first=False)
                else:
                    gates.turn(gate, scene, self.faults)
        self._hear(scene)
        for process in gated:
            process.release(gate)

    def _strike(self, scene: Scene, first: bool) -> None:
        for fault in self.faults:
            if fault.strikes_first == first:
                fault.strike(scene)

    def _start(self, spec: WorkerPlan, scene: Scene) -> WorkerProcess:
        return worker.start(
            replace(spec, path=str(scene.mount_point / "files" / spec.path)),
            run=self.plan.stamp_run,
            ledger_path=self.directory / LEDGER,
            uid=self.ground.uid,
            gid=self.ground.gid,
            memlock_bytes=self.plan.memlock_bytes,
            page_bytes=self.plan.page_bytes,
        )

    def _wait(self, process: WorkerProcess) -> None:
        report = process.wait_finished(WORKER_TIMEOUT_S)
        if report.state == "timeout":
            raise _overdue(f"worker {report.worker}", process.pid)
        if report.state == "unsupported":
            raise NotRun(report.error)
        if report.state == "died" and not self._was_killed(report) and not self._was_refused(report):
            raise StepFailed(f"worker {report.worker} died", _died(report))

    def _was_killed(self, report: WorkerReport) -> bool:
        return report.signal == signal.SIGKILL and any(fault.kills_workers for fault in self.faults)

    def _was_refused(self, report: WorkerReport) -> bool:
        """Whether the filesystem turned the worker away (open, stat ...) as one of the faults makes it do."""
        refuses = {number for fault in self.faults for number in fault.refuses}
        ended = re.search(r"^OSError: \[Errno (\d+)\].*\Z", report.error.strip(), re.MULTILINE)
        if ended is None or int(ended[1]) not in refuses:
            return False
        self.record.evidence.append(f"worker {report.worker} was turned away: {ended[0]}")
        return True

    def _end(self, process: WorkerProcess) -> None:
        if process.end(WORKER_TIMEOUT_S).state == "timeout":
            raise _overdue(f"the exit of worker {process.worker}", process.pid)

    def _prove(self, scene: Scene, crashes: bool) -> None:
        """Faults of the block stack prove themselves after the unmount, the others before it."""
        for fault in self.faults:
            if bool(fault.targets or fault.canary) == crashes:
                proof = fault.proof(scene)
                self.record.proofs.append((fault.name, proof.fired, proof.evidence))

    # -- mend and judge ------------------------------------------------------------------------------------------

    def _mend_and_mount(self, scene: Scene, mounted: ExitStack) -> bool:
        """False when the filesystem would not mount again: a finding, not a failed step."""
        if scene.mapped and any(fault.targets for fault in self.faults):
            scene.note(evidence.status(scene.mapped.status()))
        for fault in reversed(self.faults):
            fault.mend(scene)
        self._prove(scene, crashes=True)
        self.record.evidence += scene.evidence
        row = scene.filesystem
        try:
            if row.recovery and any(fault.crash or fault.canary for fault in self.faults):
                self._recover(row.recovery, scene)
            self._mount(scene, mounted)
        except BlockStackError as error:
            self.record.unmountable = str(error)
            return False
        return True

    def _recover(self, recovery: Recovery, scene: Scene) -> None:
        argv = [*recovery.argv, str(scene.block_device)]
        done = tools.run(argv, timeout_s=CHECK_TIMEOUT_S, ok=recovery.recovered)
        output = done.stdout + done.stderr
        crashed = any(fault.crash for fault in self.faults)  # a canary judges the tool, and its loss is planted
        if crashed and recovery.failure and recovery.failure in output:
            said = next(line for line in output.splitlines() if recovery.failure in line)
            raise NotRun(f"{argv[0]} could not replay the journal ({said.strip()}), so the kernel cannot be judged")

    def _observe(self, scene: Scene, read: str) -> None:
        for record in self.files:
            observations = observe_file(
                scene.mount_point / "files" / record.name,
                run=self.plan.stamp_run,
                content_file=record.content_file,
                page_bytes=self.plan.page_bytes,
            )
            write_observations(self.directory / f"{read}-{record.file}.jsonl", observations)

    def _keep_extents(self, scene: Scene) -> None:
        """Where the files lie, for whoever looks at a finding; filesystems without FIEMAP and FIBMAP refuse."""
        names = [str(scene.mount_point / "files" / record.name) for record in self.files]
        present = [name for name in names if Path(name).exists()]
        done = tools.run(["filefrag", "-v", *present], timeout_s=CHECK_TIMEOUT_S, ok=range(256))
        (self.directory / EXTENTS).write_text(done.stdout + done.stderr)

    def _check(self, scene: Scene) -> None:
        check = scene.filesystem.check
        argv = [*check.argv, str(scene.block_device)]
        done = tools.run(argv, timeout_s=CHECK_TIMEOUT_S, ok=range(256))
        output = done.stdout + done.stderr
        clean = check.is_clean(done.exit_code, output)
        self.record.checked.append((" ".join(argv), clean, output[-20000:]))


def _make_durable(mount_point: Path) -> None:
    """Sync all that was laid out, directory entries included: ext2 and jfs lose these if only files are synced."""
    descriptor = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc.syncfs(descriptor)
    finally:
        os.close(descriptor)


def _overdue(what: str, pid: int) -> Hung | StepFailed:
    """A process that did not return in time is hung only if it sleeps uninterruptibly; on a slow machine it may run."""
    evidence = requirements.blocked(pid)
    if requirements.is_blocked(pid):
        return Hung(what, WORKER_TIMEOUT_S, evidence)
    return StepFailed(what, f"took more than {WORKER_TIMEOUT_S:g} s and is not blocked in the kernel\n{evidence}")


def _refusals(path: Path) -> Counter[str]:
    """What the workers were told: how many stores and syncs were refused, by operation and error."""
    counted: Counter[str] = Counter()
    for record in ledger.read_ledger(path):
        if isinstance(record, ledger.Stored):
            counted.update(f"store {fault.how}" for fault in record.faults)
        elif isinstance(record, ledger.Synced) and record.errno:
            counted[f"sync {errno.errorcode.get(record.errno, record.errno)}"] += 1
    return counted


def _died(report: WorkerReport) -> str:
    return report.error or f"exit code {report.exit_code}, signal {report.signal}"

"""The workers of a trial, from their start to their end: they work, pass gates at which faults strike or heal, and end.

Between `torture.trial`, which knows what comes before and after, and `workloads.worker`, which knows no faults.
"""

from __future__ import annotations

import errno
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace

from torture.errors import Hung, NotRun, StepFailed
from torture.faults.base import Fault, Proof
from torture.faults.gates import STRIKE, gate_names, is_strike
from torture.plan import Plan
from torture.rig.blocked import is_blocked, is_trying, where_blocked
from torture.rig.scene import TURNED_AWAY, Scene
from torture.trial.timer import Timer
from verify import ledger
from verify.finding import Finding, of_filesystem
from verify.ledger_file import read_ledger
from workloads import worker
from workloads.limits import UNLIMITED
from workloads.plan import WorkerPlan
from workloads.worker import Task, WorkerProcess, WorkerReport

WORKER_TIMEOUT_S = 60.0
POLL_S = 0.001
STALL_TIMEOUT_S = 5.0
"""For a worker that may pin what cannot be read: mlock(2) then tries for ever (docs/kernel-behaviour.md)."""


class Workers:
    """The phases work and break of one trial. `phase` times one of them, `hear` takes down what the kernel reports.

    `proofs` are those that had to be taken before a crash, by the name of the fault.
    """

    def __init__(
        self,
        scene: Scene,
        faults: Sequence[Fault],
        phase: Callable[[str], AbstractContextManager[None]],
        hear: Callable[[], None],
    ) -> None:
        self._scene, self._faults, self._phase, self._hear = scene, faults, phase, hear
        plan = scene.plan
        self._crews = [plan.workers] if plan.one_process else [(spec,) for spec in plan.workers]
        self.proofs: dict[str, Proof] = {}
        self._turned_away: Counter[str] = Counter()
        self._struck: list[Fault] = []

    def carry_out(self, held: ExitStack) -> None:
        """Start all workers, which `held` kills in the end, and come back when they are done and the faults have struck."""
        scene = self._scene
        with self._phase("work"):
            self._strike(first=True)
            scene.workers[:] = [held.enter_context(self._start(crew)) for crew in self._crews]
        self._strike_amid(Timer(scene))
        for gate in self._gates():
            self._pass_gate(gate)
        with self._phase("work"):
            for fault in self._faults:
                fault.while_working(scene)
            for process in scene.workers:
                self._wait(process)
            self._hear()
            scene.refusals = self._refusals()
        if not any(_waits_at(crew, STRIKE) for crew in self._crews):
            with self._phase("break"):
                self._strike(first=False)

    def end(self) -> None:
        """Have them unmap, close and exit. Hung or StepFailed if one does not."""
        for process in self._scene.workers:
            if process.end(WORKER_TIMEOUT_S).state == "timeout":
                raise _overdue(f"the exit of worker {process.worker}", process.pid)

    def _start(self, crew: Sequence[WorkerPlan]) -> WorkerProcess:
        """The process of one worker, or of all."""
        scene = self._scene
        options = [fault.options(scene.filesystem) for fault in self._faults]
        memlock_bytes = [each.memlock_bytes for each in options if each.memlock_bytes is not None]
        fsize_bytes = [each.fsize_bytes for each in options if each.fsize_bytes is not None]
        task = Task(
            plans=tuple(replace(spec, path=str(scene.files_directory / spec.path)) for spec in crew),
            run=scene.plan.stamp_run,
            ledger_path=scene.ledger_path,
            uid=scene.uid,
            gid=scene.gid,
            memlock_bytes=min(memlock_bytes, default=scene.plan.memlock_bytes),
            fsize_bytes=min(fsize_bytes, default=UNLIMITED),
            page_bytes=scene.plan.page_bytes,
            mount_point=scene.mount_point,
        )
        return worker.start(task)

    # -- amid ----------------------------------------------------------------------------------------------------

    def _strike_amid(self, timer: Timer) -> None:
        """The faults with a time of their own, each when it is due, while the workers go on. One that is not due when
        they are all done or stand at a gate strikes in the end."""
        waiting, deadline = [fault for fault in self._faults if Timer.has(fault)], time.monotonic() + WORKER_TIMEOUT_S
        while waiting and time.monotonic() < deadline and not all(map(self._is_idle, self._scene.workers)):
            for fault in [each for each in waiting if timer.is_due(each)]:
                with self._phase("break"):
                    self._scene.note(f"{fault.name} strikes {timer}")
                    self._strike_with(fault)
                waiting.remove(fault)
            time.sleep(POLL_S)

    @staticmethod
    def _is_idle(process: WorkerProcess) -> bool:
        return process.wait_gate(STRIKE, 0) or process.wait_finished(0).state != "timeout"

    # -- gates ---------------------------------------------------------------------------------------------------

    def _gates(self) -> Iterator[str]:
        """Those that the faults know, in their order, then all others of the plan: nobody may wait at one for ever."""
        known = list(gate_names(max((fault.rounds for fault in self._faults), default=0)))
        yield from known
        ops = (op for crew in self._crews for spec in crew for op in spec.ops)
        yield from dict.fromkeys(op.name for op in ops if op.kind == "gate" and op.name not in known)

    def _pass_gate(self, gate: str) -> None:
        """Wait until all who stop at the gate stand there, let the faults strike or heal, and let them go on."""
        pairs = zip(self._scene.workers, self._crews, strict=True)
        gated = [process for process, crew in pairs if _waits_at(crew, gate)]
        with self._phase("work"):
            self._gather(gate, gated)
        if gated:
            with self._phase("break"):
                if gate == STRIKE:
                    self._strike(first=False)
                else:
                    self._turn(gate)
        self._hear()
        for process in gated:
            process.release(gate)

    def _gather(self, gate: str, gated: Sequence[WorkerProcess]) -> None:
        timeout_s = min((fault.gate_timeout_s for fault in self._faults), default=WORKER_TIMEOUT_S)
        deadline = time.monotonic() + timeout_s
        for process in gated:
            if not process.wait_gate(gate, max(0.0, deadline - time.monotonic())) and process.is_alive():
                self._scene.late.add(process.worker)
                self._scene.note(f"worker {process.worker} was not at gate {gate} after {timeout_s:g} s")
                self._accuse_pin_of(process)

    def _turn(self, gate: str) -> None:
        """What heals does so, or strikes again."""
        for fault in self._faults:
            if fault.rounds and is_strike(gate):
                fault.strike(self._scene)
            elif fault.rounds:
                fault.heal(self._scene)

    def _strike(self, first: bool) -> None:
        for fault in self._faults:
            if fault.strikes_before_stores == first and fault not in self._struck:
                self._strike_with(fault)

    def _strike_with(self, fault: Fault) -> None:
        if fault.may_lose_unsynced:
            self._prove(self._faults[: self._faults.index(fault)])
        fault.strike(self._scene)
        self._struck.append(fault)

    def _prove(self, faults: Sequence[Fault]) -> None:
        """Those that came before a crash, before it: afterwards a refusal would say nothing of the space, for instance."""
        scene = self._scene
        scene.refusals = self._refusals()
        self.proofs.update({fault.name: fault.proof(scene) for fault in faults if not fault.targets})

    # -- ends ----------------------------------------------------------------------------------------------------

    def _wait(self, process: WorkerProcess) -> None:
        may_stall = any(errno.EIO in fault.excused_errnos for fault in self._faults)
        report = process.wait_finished(STALL_TIMEOUT_S if may_stall else WORKER_TIMEOUT_S)
        if report.state == "timeout" and may_stall:
            self._accuse_pin_of(process)
            process.kill()
            self._scene.note(f"worker {report.worker} did not get on within {STALL_TIMEOUT_S:g} s and was killed")
            return
        if report.state == "timeout":
            raise _overdue(f"worker {report.worker}", process.pid)
        if report.state == "unsupported":
            raise NotRun(report.error)
        if report.state == "died" and not self._was_killed(report) and not self._was_refused(report):
            said = report.error or f"exit code {report.exit_code}, signal {report.signal}"
            raise StepFailed(f"worker {report.worker} died", said)

    def _accuse_pin_of(self, process: WorkerProcess) -> None:
        """A worker that tries to pin what cannot be read, and does nothing else any more, hangs: the pin should fail."""
        trying = [spec for spec in self._crews[self._scene.workers.index(process)] if spec.worker in self._pinning()]
        if trying and any(fault.refuses_reads for fault in self._faults) and is_trying(process.pid):
            self._scene.broken += (stuck_pin(self._scene.plan, spec) for spec in trying)

    def _pinning(self) -> set[int]:
        """Workers that are in their pin."""
        records = list(read_ledger(self._scene.ledger_path))
        began = {record.worker for record in records if isinstance(record, ledger.Worker)}
        return began - {record.worker for record in records if isinstance(record, ledger.Pinned)}

    def _was_killed(self, report: WorkerReport) -> bool:
        return report.signal == signal.SIGKILL and any(fault.kills_workers for fault in self._faults)

    def _was_refused(self, report: WorkerReport) -> bool:
        """Whether the filesystem turned the worker away (open, stat ...) as one of the faults makes it do."""
        refuses = {number for fault in self._faults for number in fault.excused_errnos}
        if report.errno not in refuses:
            return False
        self._turned_away[f"{TURNED_AWAY} {errno.errorcode[report.errno]}"] += 1
        self._scene.note(f"worker {report.worker} was turned away: {report.error.strip().splitlines()[-1]}")
        return True

    def _refusals(self) -> Counter[str]:
        """What the workers were told: stores and syncs that were refused, and ends, by operation and error."""
        counted = Counter(self._turned_away)
        for record in read_ledger(self._scene.ledger_path):
            if isinstance(record, ledger.Stored):
                counted.update(f"store {fault.how}" for fault in record.refused)
            elif isinstance(record, ledger.Synced) and record.errno:
                counted[f"sync {errno.errorcode.get(record.errno, record.errno)}"] += 1
        return counted


def stuck_pin(plan: Plan, spec: WorkerPlan) -> Finding:
    """The finding that the pin of a worker tries for ever."""
    (file,) = (each for each in plan.files if each.file == spec.file)
    what = f"{spec.pin} of a page that cannot be read did not return within {STALL_TIMEOUT_S:g} s"
    bare = of_filesystem("hang", "liveness", expected="a pin of what cannot be read fails", found=what)
    return replace(bare, file=file.file, name=file.name, layout=file.layout, pin=spec.pin, access=spec.access, read="warm")


def _overdue(what: str, pid: int) -> Hung | StepFailed:
    """A process that did not return in time is hung only if it sleeps uninterruptibly; on a slow machine it may run."""
    evidence = where_blocked(pid)
    if is_blocked(pid):
        return Hung(what, WORKER_TIMEOUT_S, evidence)
    return StepFailed(what, f"took more than {WORKER_TIMEOUT_S:g} s and is not blocked in the kernel\n{evidence}")


def _waits_at(crew: Sequence[WorkerPlan], gate: str) -> bool:
    return any(op.kind == "gate" and op.name == gate for spec in crew for op in spec.ops)

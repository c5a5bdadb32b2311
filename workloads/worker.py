"""The starter's side of a worker: forks it, opens its gates, learns how it went, ends it.

A worker is a plain fork: no threads, no pickling, and no descriptor but its channel and the standard
streams, because one that leaks into it would keep the filesystem under test from being unmounted. It drops
to an unprivileged user, whom nobody else on the machine is, so that blocks reserved for root do not hide ENOSPC and no
other process may meddle with it, gains no privileges any more, and dies with the thread that started it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from verify.closing import Closing
from verify.ledger_file import LedgerWriter
from workloads import libc
from workloads.channel import Channel, Message, Verb
from workloads.children import errno_in
from workloads.limits import UNLIMITED, set_fsize, set_memlock
from workloads.operations import carry_out, needs_servant
from workloads.plan import WorkerPlan
from workloads.servant import Servant
from workloads.unsupported import Unsupported

EXIT_BROKE = 70
_FIRST_DESCRIPTOR = 3

State = Literal["finished", "died", "timeout", "unsupported"]


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """How a worker stands."""

    worker: int
    state: State
    """finished: all its steps are done, or it ended when told to. died: it is gone otherwise. timeout: it is still at it.
    unsupported: it gave up on what the filesystem or kernel cannot do."""
    exit_code: int | None = None
    signal: int | None = None
    """That killed it."""
    error: str = ""
    """The traceback of one that broke, or what is unsupported."""
    errno: int | None = None
    """Of the system call whose failure was the end of it, None for any other end."""


@dataclass(frozen=True, slots=True)
class Task:
    """Everything that a worker is told when it is forked."""

    plans: tuple[WorkerPlan, ...]
    """One, or several, which it carries out one after the other."""
    run: int
    ledger_path: Path
    """It is opened before privileges are dropped, the file after."""
    uid: int
    gid: int
    memlock_bytes: int
    """RLIMIT_MEMLOCK, or -1: as high as can be (see limits)."""
    page_bytes: int
    fsize_bytes: int = UNLIMITED
    """RLIMIT_FSIZE, for what it does to the file, not for its ledger."""
    mount_point: Path | None = None
    """Where its filesystem is mounted, which a plan may have frozen."""


def start(task: Task) -> WorkerProcess:
    """Fork a worker that goes to work at once. The calling thread must outlive it.

    Raises OSError if no process can be made; all else stands in the worker's report.
    """
    ours, theirs = Channel.pair()
    starter = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_worker(task, starter, theirs)
    theirs.close()
    return WorkerProcess(task.plans[0].worker, pid, ours)


class WorkerProcess(Closing):
    """A running worker, seen by the one that started it; a context manager that kills what is left of it."""

    def __init__(self, worker: int, pid: int, channel: Channel) -> None:
        self.worker = worker
        self.pid = pid
        self._process = os.pidfd_open(pid)
        self._channel = channel
        self._gates: set[str] = set()
        self._finished = False
        self._said = Message(Verb.FINISHED)
        self._end: WorkerReport | None = None

    def wait_finished(self, timeout_s: float) -> WorkerReport:
        """Wait until all steps are done or the worker is gone; see WorkerReport."""
        deadline = time.monotonic() + timeout_s
        if self._listen_until(lambda: self._finished, deadline):
            return WorkerReport(self.worker, "finished")
        return self._reap(deadline)

    def wait_gate(self, name: str, timeout_s: float) -> bool:
        """Wait until the worker stands at a gate. False: it did not in time, or never will (see wait_finished)."""
        self._listen_until(lambda: self._finished or name in self._gates, time.monotonic() + timeout_s)
        return name in self._gates

    def is_alive(self) -> bool:
        """Whether the process has not ended yet."""
        return self._end is None and not self._ended_by(time.monotonic())

    def release(self, name: str) -> None:
        """Open a gate, even before the worker has come to it. Does nothing if the worker is gone."""
        self._send(Message(Verb.RELEASE, name))

    def end(self, timeout_s: float = 30) -> WorkerReport:
        """Tell the worker to unmap, close and exit, and wait until it has."""
        self._send(Message(Verb.END))
        return self._reap(time.monotonic() + timeout_s)

    def kill(self, timeout_s: float = 30) -> WorkerReport:
        """SIGKILL the worker and wait until it is gone; one that sleeps uninterruptibly is a `timeout`."""
        if self._end is None:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        return self._reap(time.monotonic() + timeout_s)

    def close(self) -> None:
        """Kill what is left of it."""
        self.kill()
        self._channel.close()
        os.close(self._process)

    def _send(self, message: Message) -> None:
        with suppress(BrokenPipeError):
            self._channel.send(message)

    def _listen_until(self, reached: Callable[[], bool], deadline: float) -> bool:
        while not reached():
            try:
                message = self._channel.receive(max(0.0, deadline - time.monotonic()))
            except (TimeoutError, BlockingIOError):
                return False
            if message is None:
                return False
            self._note(message)
        return True

    def _note(self, message: Message) -> None:
        if message.verb is Verb.AT_GATE:
            self._gates.add(message.text)
        elif message.verb is Verb.FINISHED:
            self._finished = True
        else:
            self._said = message

    def _reap(self, deadline: float) -> WorkerReport:
        """The report of the end of the process, once there is one."""
        if self._end is None and self._ended_by(deadline):
            self._listen_until(lambda: False, deadline)
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self._end = self._reported(status)
        return self._end or WorkerReport(self.worker, "timeout", error=self._said.text)

    def _ended_by(self, deadline: float) -> bool:
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))

    def _reported(self, status: int) -> WorkerReport:
        if self._said.verb is Verb.REFUSED:
            return WorkerReport(self.worker, "unsupported", exit_code=status, error=self._said.text)
        if status == 0:
            return WorkerReport(self.worker, "finished", exit_code=0)
        exit_code, killed_by = (None, -status) if status < 0 else (status, None)
        return WorkerReport(self.worker, "died", exit_code, killed_by, self._said.text, self._said.errno)


def _be_worker(task: Task, starter: int, channel: Channel) -> NoReturn:
    """The forked process. Leaves by os._exit, so that nothing of the starter's is flushed or cleaned up twice."""
    status = EXIT_BROKE
    try:
        _cut_off(channel)
        ledger = LedgerWriter(task.ledger_path)
        with ExitStack() as held:
            files = {str(plan.worker): Path(plan.path) for plan in task.plans}
            servant = held.enter_context(Servant(task.mount_point, files)) if needs_servant(task.plans) else None
            _confine(task)
            _die_with(starter)
            carry_out(task.plans, run=task.run, page_bytes=task.page_bytes, ledger=ledger, channel=channel, servant=servant)
        status = 0
    except Unsupported as refusal:
        channel.send(Message(Verb.REFUSED, str(refusal)))
    except BaseException as error:
        channel.send(Message(Verb.BROKE, traceback.format_exc(), errno_in(error)))
    finally:
        os._exit(status)


def _cut_off(channel: Channel) -> None:
    """Lose the starter's signal handlers and descriptors.

    No garbage collection from here on: it could close, by number, descriptors that are ours by now.
    """
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.closerange(_FIRST_DESCRIPTOR, channel.fileno())
    os.closerange(channel.fileno() + 1, os.sysconf("SC_OPEN_MAX"))


def _confine(task: Task) -> None:
    set_memlock(task.memlock_bytes)
    set_fsize(task.fsize_bytes)
    if (os.getuid(), os.getgid()) != (task.uid, task.gid):
        os.setgroups([])
        os.setresgid(task.gid, task.gid, task.gid)
        os.setresuid(task.uid, task.uid, task.uid)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    libc.prctl(libc.PR_SET_DUMPABLE, 0)  # whatever fs.suid_dumpable says: not to be traced


def _die_with(starter: int) -> None:
    """After `_confine`: a change of user clears the parent death signal (prctl(2))."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != starter:
        raise ProcessLookupError(f"the starter, process {starter}, is gone")

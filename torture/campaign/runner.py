"""Carries out many trials with several guests at a time, and stores each as soon as it is judged.

One thread, the caller's, owns the store and decides what comes next (`Source`); every job is a thread that boots
guests and runs one task at a time in them. A guest that dies or hangs costs its own trial and is replaced; nobody
waits for it.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from torture.errors import BrokenTool, TortureError
from torture.judge import judge
from torture.lab.base import Guest, GuestLost, Lab
from torture.results.store import STORE, Store, Task, Trial
from torture.rig.record import Record

MAX_BOOTS_IN_A_ROW = 3
MIN_FREE_BYTES = 32 << 20
TRIALS_PER_GUEST = 250
BOOT, VERDICT = "boot", "verdict"
"""Phases on the host, next to those of torture.trial: a guest is booted if there is none, what it left is judged."""

Keep = Callable[[Trial, Path, Path], None]


class Source(Protocol):
    """What is to be run. Both calls come from the thread that called `Runner.run`."""

    def next(self) -> Task | None:
        """The next task; None when there is nothing more to do."""

    def finished(self, trial: Trial) -> None:
        """A trial was judged and stored."""


@dataclass(slots=True)
class _Slot:
    """One booted guest of a job, and how many trials it has run."""

    guest: Guest
    trials: int = 0


@dataclass(slots=True)
class Runner:
    """Runs what a source wants."""

    labs: Mapping[str, Lab]
    """By the label of their kernel, as tasks name it."""
    source: Source
    directory: Path
    """Of the run."""
    jobs: int
    """Guests at a time."""
    keep: Keep | None = None
    """Called in a job's thread with a trial that has findings, its directory, and the guest's disk image, before the
    guest goes on."""
    watchers: Sequence[Callable[[Trial], None]] = ()
    """Called with each trial when it is stored, after the source."""
    time_limit_s: float | None = None
    """No trial is started after that."""
    lost_guests: list[str] = field(default_factory=list)
    boots: int = 0
    in_flight: int = 0
    """Trials that were handed out and are not stored yet."""
    _deadline_s: float = inf
    _waiting: SimpleQueue[Task | None] = field(default_factory=SimpleQueue)
    _finished: SimpleQueue[Trial | TortureError] = field(default_factory=SimpleQueue)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _killed: threading.Event = field(default_factory=threading.Event)
    _slots: dict[tuple[int, str], _Slot] = field(default_factory=dict)

    def run(self, store: Store) -> None:
        """Until the source has no more, or the time is up. The first error of the tool itself is raised when all guests
        are down."""
        if self.time_limit_s is not None:
            self._deadline_s = time.monotonic() + self.time_limit_s
        threads = [threading.Thread(target=self._job, args=(index,), name=f"job-{index}") for index in range(self.jobs)]
        (self.directory / "trials").mkdir(exist_ok=True)
        for thread in threads:
            thread.start()
        try:
            self._feed_and_collect(store)
        except BaseException:
            self.kill()
            raise
        finally:
            for _ in threads:
                self._waiting.put(None)
            for thread in threads:
                thread.join()

    def stop(self) -> None:
        """Start no further trial."""
        self._stopping.set()

    def kill(self) -> None:
        """Start no further trial and end those in flight; they are not stored."""
        self._killed.set()
        self._stopping.set()
        for slot in list(self._slots.values()):
            slot.guest.kill()

    def _feed_and_collect(self, store: Store) -> None:
        """Keep every job busy; store and report trials as they come."""
        for _ in range(self.jobs):
            self._feed(store)
        while self.in_flight and not self._killed.is_set():
            try:
                done = self._finished.get(timeout=0.5)
            except Empty:
                continue
            if self._killed.is_set():
                return  # what was in flight ended by force, and so tells nothing
            if not isinstance(done, Trial):
                raise done
            store.add(done)
            self.in_flight -= 1
            for tell in (self.source.finished, *self.watchers):
                tell(done)
            self._feed(store)

    def _feed(self, store: Store) -> None:
        """Hand out one more task, if there is one."""
        if self._stopping.is_set() or time.monotonic() >= self._deadline_s:
            return
        self._check_room()
        task = self.source.next()
        if task is not None:
            store.schedule(task)
            self._waiting.put(task)
            self.in_flight += 1

    # -- one job ----------------------------------------------------------------------------------------------------

    def _job(self, index: int) -> None:
        try:
            while (task := self._waiting.get()) is not None and not self._killed.is_set():
                self._finished.put(self._run_one(index, task))
        except TortureError as error:
            self._finished.put(error)
        except GuestLost as lost:
            self._finished.put(BrokenTool(str(lost), "look at the console; `torture doctor` tells what can run here"))
        except OSError as error:
            self._finished.put(self._refused(error))
        except Exception as error:
            self._finished.put(BrokenTool(f"{type(error).__name__}: {error}", "this is a bug in torture"))
        finally:
            for key in [key for key in self._slots if key[0] == index]:
                self._slots.pop(key).guest.end()

    def _run_one(self, index: int, task: Task) -> Trial:
        directory = self.directory / "trials" / task.directory_name
        shutil.rmtree(directory, ignore_errors=True)  # of a trial that was in flight when the run was killed
        directory.mkdir()
        clock = _Clock()
        slot = self._slot(index, task.kernel)
        clock.account(BOOT)
        try:
            slot.guest.run(task.plan, directory, lambda _: None)
        except GuestLost as lost:
            self._give_up((index, task.kernel), directory, lost)
        clock.account("")
        trial = _judged(task, directory, slot.guest.kernel, clock)
        if self.keep and trial.verdict.findings and (index, task.kernel) in self._slots:
            self.keep(trial, directory, slot.guest.disk)
        if Record.read(directory).tainted:
            self._slots.pop((index, task.kernel)).guest.end()
        return trial

    def _give_up(self, key: tuple[int, str], directory: Path, lost: GuestLost) -> None:
        """Replace the guest next time; leave a record that says what became of the trial."""
        self._slots.pop(key, None)
        self.lost_guests.append(str(lost))
        broken = directory / "traceback.txt"
        record = Record(reason=f"{lost}{': ' + broken.read_text() if broken.exists() else ''}")
        if lost.hung and lost.evidence:
            record.state, record.hung = "ran", f"{lost}\n{lost.evidence}"
        record.write(directory)

    def _slot(self, index: int, kernel: str) -> _Slot:
        """The job's guest of a kernel: booted anew if there is none, or it has run enough trials."""
        key = (index, kernel)
        if key in self._slots and self._slots[key].trials >= TRIALS_PER_GUEST:
            self._slots.pop(key).guest.end()
        number = index * len(self.labs) + list(self.labs).index(kernel)
        for attempt in range(1, MAX_BOOTS_IN_A_ROW + 1):
            if key in self._slots:
                break
            try:
                self.boots += 1
                self._slots[key] = _Slot(self.labs[kernel].boot(number))
            except GuestLost as lost:
                self.lost_guests.append(str(lost))
                if attempt == MAX_BOOTS_IN_A_ROW:
                    raise
        self._slots[key].trials += 1
        return self._slots[key]

    def _refused(self, error: OSError) -> BrokenTool:
        """What the host would not do, and what to do about it."""
        if not os.access(self.directory / STORE, os.F_OK):
            return BrokenTool(f"{self.directory} is gone", "its results are lost; start a new run")
        return BrokenTool(f"the host refused: {error}", "`torture resume` goes on with this run when it is mended")

    def _check_room(self) -> None:
        try:
            (self.directory / STORE).stat()
            free = shutil.disk_usage(self.directory).free
        except OSError as error:
            raise self._refused(error) from error
        if free < MIN_FREE_BYTES:
            raise BrokenTool(
                f"{self.directory} has only {free >> 20} MiB free",
                "free some space there or give another --results; `torture resume` goes on with this run",
            )


class _Clock:
    """Where the time of a trial goes outside the guest, in seconds by phase; "" is what the guest itself accounts for."""

    def __init__(self) -> None:
        self._since = self._began = time.monotonic()
        self.phases: dict[str, float] = {}

    def account(self, phase: str) -> None:
        """The time since the last call went to `phase`."""
        now = time.monotonic()
        if phase:
            self.phases[phase] = now - self._since
        self._since = now

    @property
    def seconds(self) -> float:
        """Since the trial began."""
        return time.monotonic() - self._began


def _judged(task: Task, directory: Path, release: str, clock: _Clock) -> Trial:
    verdict = judge(task.plan, directory)
    record = Record.read(directory)
    evidence = tuple(f"{name}: {text}" for name, _, text in record.proofs) + tuple(record.evidence)
    clock.account(VERDICT)
    phases = {**record.phases, **clock.phases}
    return Trial(task.number, task.arm, task.plan, verdict, phases, clock.seconds, release, evidence, task.kernel)

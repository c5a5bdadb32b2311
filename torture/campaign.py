"""Carries out many trials with several guests at a time, and stores each as soon as it is judged.

Every job is a thread with a guest of its own. A guest that dies or hangs costs its own trial (`unknown`, or `fail` when
something is provably stuck) and is replaced; nobody else waits for it.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from torture.draw import Drawn
from torture.errors import BrokenTool, TortureError
from torture.judge import judge
from torture.lab.base import Guest, GuestLost, Lab
from torture.record import Record
from torture.store import Store, Trial

MAX_BOOTS_IN_A_ROW = 3
MIN_FREE_BYTES = 32 << 20

OnTrial = Callable[[Trial], None]


@dataclass(slots=True)
class Campaign:
    """One run under way. `stop` ends it after the trials in flight; `kill` at once."""

    lab: Lab
    drawn: Sequence[Drawn]
    directory: Path
    jobs: int
    on_trial: OnTrial
    time_limit_s: float | None = None
    lost_guests: list[str] = field(default_factory=list)
    _waiting: SimpleQueue[tuple[int, Drawn]] = field(default_factory=SimpleQueue)
    _finished: SimpleQueue[Trial | TortureError | None] = field(default_factory=SimpleQueue)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _guests: dict[int, Guest] = field(default_factory=dict)

    def run(self, store: Store) -> None:
        """The first error of the tool itself ends the campaign, and is raised when all guests are down."""
        for number, drawn in enumerate(self.drawn, 1):
            self._waiting.put((number, drawn))
        jobs = min(self.jobs, len(self.drawn))
        threads = [threading.Thread(target=self._job, args=(index,), name=f"job-{index}") for index in range(jobs)]
        deadline = None if self.time_limit_s is None else time.monotonic() + self.time_limit_s
        for thread in threads:
            thread.start()
        try:
            self._collect(store, jobs, deadline)
        except BaseException:
            self.kill()
            raise
        finally:
            for thread in threads:
                thread.join()

    def stop(self) -> None:
        """Start no further trial."""
        self._stopping.set()

    def kill(self) -> None:
        """Start no further trial and end those in flight; they are not stored."""
        self._stopping.set()
        for guest in list(self._guests.values()):
            guest.kill()

    def _collect(self, store: Store, jobs: int, deadline: float | None) -> None:
        """Store and report trials as they come, in the one thread that owns the store."""
        running = jobs
        while running:
            try:
                done = self._finished.get(timeout=0.5)
            except Empty:
                if deadline is not None and time.monotonic() > deadline:
                    self.stop()
                continue
            if done is None:
                running -= 1
            elif isinstance(done, Trial):
                store.add(done)
                self.on_trial(done)
            else:
                raise done

    # -- one job -------------------------------------------------------------------------------------------------

    def _job(self, index: int) -> None:
        try:
            self._work_off(index)
        except TortureError as error:
            self._finished.put(error)
        except Exception as error:
            self._finished.put(BrokenTool(f"{type(error).__name__}: {error}", "this is a bug in torture"))
        finally:
            if index in self._guests:
                self._guests.pop(index).end()
            self._finished.put(None)

    def _work_off(self, index: int) -> None:
        while not self._stopping.is_set():
            try:
                number, drawn = self._waiting.get_nowait()
            except Empty:
                return
            self._check_room()
            trial = self._run_one(index, number, drawn)
            if not self._stopping.is_set() or trial.verdict.outcome != "unknown":
                self._finished.put(trial)

    def _run_one(self, index: int, number: int, drawn: Drawn) -> Trial:
        directory = self.directory / "trials" / f"{number:05d}"
        directory.mkdir(parents=True)
        (directory / "plan.json").write_text(drawn.plan.to_json() + "\n")
        began = time.monotonic()
        kernel = ""
        try:
            guest = self._guest(index)
            kernel = guest.kernel
            guest.run(drawn.plan, directory, lambda _: None)
        except GuestLost as lost:
            self._give_up(index, directory, lost)
        verdict = judge(drawn.plan, directory)
        record = Record.read(directory)
        evidence = tuple(f"{name}: {text}" for name, _, text in record.proofs) + tuple(record.evidence)
        return Trial(
            number, drawn.arm, drawn.plan, verdict, record.phases, time.monotonic() - began, kernel, evidence
        )

    def _give_up(self, index: int, directory: Path, lost: GuestLost) -> None:
        """Replace the guest next time; leave a record that says what became of the trial."""
        self._guests.pop(index, None)
        self.lost_guests.append(str(lost))
        broken = directory / "traceback.txt"
        record = Record(reason=f"{lost}{': ' + broken.read_text() if broken.exists() else ''}")
        if lost.hung and lost.evidence:
            record.state, record.hung = "ran", f"{lost}\n{lost.evidence}"
        record.write(directory)

    def _guest(self, index: int) -> Guest:
        """The job's guest, booted anew if it has none."""
        for _ in range(MAX_BOOTS_IN_A_ROW - 1):
            if index in self._guests:
                break
            try:
                self._guests[index] = self.lab.boot(index)
            except GuestLost as lost:
                self.lost_guests.append(str(lost))
        if index not in self._guests:
            self._guests[index] = self.lab.boot(index)
        return self._guests[index]

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.directory).free
        if free < MIN_FREE_BYTES:
            raise BrokenTool(
                f"{self.directory} has only {free >> 20} MiB free", "free some space there or give another --results"
            )

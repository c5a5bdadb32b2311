"""The host's side: boots the kernels, hands them filesystems, and gathers what the guests leave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from torture.contract.clauses import EXPERIMENTS
from torture.contract.engine import ENTRIES
from torture.contract.table import Column
from torture.contract.verdict import ARMS, Entry, Verdict, read_entries
from torture.errors import BrokenTool, TortureError
from torture.lab.base import Guest, GuestLost, Lab

_TRACEBACK = "traceback.txt"


@dataclass(frozen=True, slots=True)
class _Task:
    kernel: str
    filesystem: str


@dataclass(slots=True)
class Conformance:
    """Every filesystem on every kernel, with `jobs` guests at a time. `labs` are by the kernel's name."""

    labs: dict[str, Lab]
    filesystems: tuple[str, ...]
    directory: Path
    jobs: int
    _waiting: SimpleQueue[_Task] = field(default_factory=SimpleQueue)
    _columns: dict[_Task, Column] = field(default_factory=dict)
    _errors: list[TortureError] = field(default_factory=list)
    _guests: list[Guest] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> list[Column]:
        """The columns of the table, in the order asked for. Raises the first error of the tool itself; an interrupt
        ends all guests."""
        tasks = [_Task(kernel, filesystem) for kernel in self.labs for filesystem in self.filesystems]
        for task in tasks:
            self._waiting.put(task)
        threads = [threading.Thread(target=self._job, args=(index,)) for index in range(min(self.jobs, len(tasks)))]
        for thread in threads:
            thread.start()
        with self._stopped_by_interrupt():
            for thread in threads:
                thread.join()
        for error in self._errors:
            raise error
        return [self._columns[task] for task in tasks]

    @contextmanager
    def _stopped_by_interrupt(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._stopping.set()
            for guest in list(self._guests):
                guest.kill()
            raise

    def _job(self, index: int) -> None:
        """One guest after the other; a kernel's guest is kept while there is work for that kernel."""
        slot = _Slot(index, self.labs, self._guests)
        try:
            while not self._stopping.is_set():
                self._carry_out(self._waiting.get_nowait(), slot)
        except Empty:
            return
        except TortureError as error:
            self._fail(error)
        except GuestLost as lost:
            self._fail(BrokenTool(str(lost), "look at the console; `torture doctor` tells what can run here"))
        except Exception as error:
            self._fail(BrokenTool(f"{type(error).__name__}: {error}", "this is a bug in torture"))
        finally:
            slot.leave()

    def _fail(self, error: TortureError) -> None:
        if not self._stopping.is_set():
            self._errors.append(error)
        self._stopping.set()

    def _carry_out(self, task: _Task, slot: _Slot) -> None:
        number = list(self.labs).index(task.kernel)
        directory = self.directory / "contract" / f"{number}-{task.filesystem}"
        directory.mkdir(parents=True)
        guest, reason = slot.take(task.kernel), ""
        try:
            guest.contract(task.filesystem, directory, lambda _: None)
        except GuestLost as lost:
            slot.forget()
            reason = f"{lost}\n{lost.evidence}".strip()
        self._columns[task] = Column(task.kernel, guest.kernel, task.filesystem, gathered(directory, reason))


@dataclass(slots=True)
class _Slot:
    """The guest of one job."""

    index: int
    labs: dict[str, Lab]
    guests: list[Guest]
    _kernel: str = ""
    _guest: Guest | None = None

    def take(self, kernel: str) -> Guest:
        """A guest of a kernel: the one at hand, or a new one. Raises GuestLost if it does not come up."""
        if self._guest is None or self._kernel != kernel:
            self.leave()
            self._guest, self._kernel = self.labs[kernel].boot(self.index), kernel
            self.guests.append(self._guest)
        return self._guest

    def leave(self) -> None:
        """End the guest."""
        if self._guest:
            self._guest.end()
        self.forget()

    def forget(self) -> None:
        """The guest is gone."""
        if self._guest in self.guests:
            self.guests.remove(self._guest)
        self._guest = None


def gathered(directory: Path, reason: str) -> tuple[Entry, ...]:
    """The entries that a guest left, in the order of clauses; what it should have left and did not is unknown."""
    broken = directory / _TRACEBACK
    if broken.exists():
        raise BrokenTool(broken.read_text(), "this is a bug in torture")
    found = {(entry.clause, entry.experiment, entry.arm): entry for entry in read_entries(directory / ENTRIES)}
    wanted = sorted((one.clause, one.name, arm) for one in EXPERIMENTS for arm in ARMS)
    lost = reason or "the guest left no entry"
    return tuple(found.get(key) or Entry(*key, Verdict.unknown, lost) for key in wanted)

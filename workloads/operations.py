"""The worker's side: carries out the steps of one plan, or of several in turn, in the process forked by `workloads.worker`.

Every step is recorded in the ledger, intent before and result after. When all steps are done the file stays open,
mapped and pinned until the starter says END, so that a fault can strike while it is.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from mmap import mmap
from pathlib import Path

from verify import stamp
from verify.ledger import Pinned, RefusedPage, Store, Stored, Synced, Worker
from verify.ledger_file import LedgerWriter
from workloads import libc
from workloads.access import ACCESSES, Access
from workloads.channel import Channel, Message, Verb
from workloads.disturbances import pages_of
from workloads.generations import Generations, Run
from workloads.limits import fsize_in_force
from workloads.mapped_file import MappedFile
from workloads.pins import PINS
from workloads.plan import Op, WorkerPlan
from workloads.probes import STEPS
from workloads.servant import Servant
from workloads.syncs import SYNCS, Scope

BATCH_PAGES = 256


class Ended(Exception):
    """The starter said END, or is gone, while steps were left."""


def needs_servant(plans: Sequence[WorkerPlan]) -> bool:
    """Whether a step of the plans is only for root."""
    return any(op.kind in STEPS and STEPS[op.kind].privileged for plan in plans for op in plan.ops)


def carry_out(
    plans: Sequence[WorkerPlan],
    *,
    run: int,
    page_bytes: int,
    ledger: LedgerWriter,
    channel: Channel,
    servant: Servant | None = None,
) -> None:
    """Worker by worker: map and pin the file, and take all steps. Then say FINISHED, and hold everything until the starter
    says END.

    Raises OSError if the file cannot be opened or mapped, or an access path or disturbance breaks, and KeyError for
    a name that is in no registry, Unsupported for what the filesystem or kernel cannot do at all. What the filesystem
    refuses otherwise is recorded and not raised.
    """
    with ExitStack() as held:
        for service in {STEPS[op.kind].before for plan in plans for op in plan.ops if op.kind in STEPS} - {""}:
            assert servant is not None
            servant.ask(service)
        try:
            for plan in plans:
                place = MappedFile(
                    Path(plan.path),
                    file=plan.file,
                    first_page=plan.first_page,
                    pages=plan.pages,
                    page_bytes=page_bytes,
                )
                mapped = held.enter_context(place)
                ledger.append(Worker(plan.worker, plan.file, plan.pin, plan.access, plan.first_page, plan.pages))
                steps = _Steps(plan, run, mapped, ledger, channel, servant)
                steps.pin()
                steps.access = held.enter_context(closing(ACCESSES[plan.access](mapped)))
                for op in plan.ops:
                    steps.take(op)
            channel.send(Message(Verb.FINISHED))
            steps.wait_for_end()
        except Ended:
            return


class _Steps:
    """Takes the steps of one worker. Invariant: no Store or Sync of it is outstanding between two steps."""

    access: Access

    def __init__(
        self,
        plan: WorkerPlan,
        run: int,
        mapped: MappedFile,
        ledger: LedgerWriter,
        channel: Channel,
        servant: Servant | None,
    ) -> None:
        self.worker = plan.worker
        self._pin = PINS[plan.pin]
        self._run = run
        self.mapped = mapped
        self.ledger = ledger
        self._channel = channel
        self._servant = servant
        self._generations = Generations(plan.first_page, plan.pages)
        self._content = memoryview(mmap(-1, min(BATCH_PAGES, plan.pages) * mapped.page_bytes))
        self._released: set[str] = set()

    @property
    def servant(self) -> Servant:
        """See disturbances.Stage."""
        assert self._servant is not None
        return self._servant

    def pin(self) -> None:
        """See disturbances.Stage."""
        self.ledger.append(Pinned(self.worker, self._pin.pin(self.mapped)))

    def write(self, page: int, write: Callable[[memoryview, int], int]) -> None:
        """See disturbances.Stage."""
        for run in self._generations.raised(page, 1):
            place = (page, 1, run.generation, 0, self.mapped.page_bytes)
            self.ledger.append(Store(self.worker, self.mapped.file, *place))
            content = self._stamped(page, 1, run.generation)
            with fsize_in_force():
                failed = libc.errno_of(partial(_write_all, write, content, page * self.mapped.page_bytes))
            faults = (RefusedPage(page, errno.errorcode[failed], failed, 0),) if failed else ()
            self.ledger.append(Stored(self.worker, faults))

    def take(self, op: Op) -> None:
        """Take one step. Raises Ended at a gate that will not open."""
        if op.kind == "store":
            self._store(op)
        elif op.kind == "sync":
            self._sync(op)
        elif op.kind == "gate":
            self._wait_at_gate(op.name)
        else:
            STEPS[op.kind].act(self, op)

    def wait_for_end(self) -> None:
        """Returns by raising Ended."""
        while True:
            self._listen()

    def _store(self, op: Op) -> None:
        lo, hi = self.access.reach()
        for run in self._generations.raised(*pages_of(self, op)):
            for piece in _crossings(run) if self.access.crossing else (run,):
                crossing = self.access.crossing and piece.pages > 1
                end = hi if crossing or not self.access.crossing else self.mapped.page_bytes
                place = (piece.first_page, piece.pages, piece.generation, lo, end, crossing)
                self.ledger.append(Store(self.worker, self.mapped.file, *place))
                self.ledger.append(Stored(self.worker, self._store_run(piece)))

    def _store_run(self, run: Run) -> tuple[RefusedPage, ...]:
        faults: list[RefusedPage] = []
        end = run.first_page + run.pages
        for first_page in range(run.first_page, end, BATCH_PAGES):
            pages = min(BATCH_PAGES, end - first_page)
            content = self._stamped(first_page, pages, run.generation)
            faults += self.access.store(first_page, pages, content)
        return tuple(faults)

    def _stamped(self, first_page: int, pages: int, generation: int) -> memoryview:
        content = self._content[: pages * self.mapped.page_bytes]
        stamp.fill(
            content,
            run=self._run,
            file=self.mapped.file,
            first_page=first_page,
            generation=generation,
            writer=self.worker,
            page_bytes=self.mapped.page_bytes,
        )
        return content

    def _sync(self, op: Op) -> None:
        sync = SYNCS[op.name]
        if sync.scope is Scope.NOTHING:
            return
        first_page, pages = pages_of(self, op)
        self.ledger.append(sync.record(self.worker, self.mapped, first_page, pages))
        failed = sync.perform(self.mapped, first_page, pages)
        self.ledger.append(Synced(self.worker, failed))

    def _wait_at_gate(self, name: str) -> None:
        self._channel.send(Message(Verb.AT_GATE, name))
        while name not in self._released:
            self._listen()

    def _listen(self) -> None:
        message = self._channel.receive(None)
        if message is None or message.verb is Verb.END:
            raise Ended
        self._released.add(message.text)


def _crossings(run: Run) -> Iterator[Run]:
    """A run in pairs of pages, with what is left over at the end."""
    for first_page in range(run.first_page, run.first_page + run.pages, 2):
        yield Run(first_page, min(2, run.first_page + run.pages - first_page), run.generation)


def _write_all(write: Callable[[memoryview, int], int], content: memoryview, offset_bytes: int) -> None:
    """Raises OSError as the call does; for a call that writes less and less, ENOSPC comes at last."""
    while content:
        done = write(content, offset_bytes)
        content, offset_bytes = content[done:], offset_bytes + done

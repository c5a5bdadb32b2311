"""Disturbances: what a worker has happen to its file between its stores and syncs. One row of `DISTURBANCES` each.

A disturbance gets the stage (what the worker has) and the plan's step, whose pages it works on. One that legally
changes content records that before it acts, and the result (verify.ledger.Resize, Zeroed, Altered). What the kernel
refuses for good reason, such as MADV_DONTNEED on a locked mapping, is a note in the ledger. Raises Unsupported when the
filesystem or kernel cannot do it at all, OSError when it breaks.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from verify.descriptors import opened
from verify.ledger import Altered, Note, Resize, Zeroed
from verify.ledger_file import LedgerWriter
from workloads import libc
from workloads.children import in_child
from workloads.limits import fsize_in_force
from workloads.mapped_file import MappedFile
from workloads.memory_cgroup import hierarchy
from workloads.plan import Op
from workloads.servant import COMPACT_MEMORY, Servant, knob
from workloads.unsupported import Unsupported, refusable
from workloads.writeback import write_back

_UNALIGNED_BYTES = 333
_IMPOSSIBLE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY)


class Stage(Protocol):
    """What a worker has, as disturbances see it."""

    worker: int
    mapped: MappedFile
    ledger: LedgerWriter

    @property
    def servant(self) -> Servant:
        """There is one if a row of the plan is `privileged`."""

    def pin(self) -> None:
        """Map and pin the file, which was just opened, and record it."""

    def write(self, page: int, write: Callable[[memoryview, int], int]) -> None:
        """Store the next generation of a page by a call that gets its content and offset in bytes, and record it."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A row of `DISTURBANCES`."""

    name: str
    act: Callable[[Stage, Op], None]
    """Does it, to the pages of the step."""
    needs: str = ""
    """The feature that a filesystem must have for it, as `torture.filesystems` names them."""
    alone: bool = False
    """It changes the size of the file, so no other worker may be on it."""
    privileged: bool = False
    """Only root may do it: the worker needs its servant."""
    before: str = ""
    """The service that the servant does before the file is mapped."""
    for_pins: bool = False
    """It makes no difference to a mapping without a pin."""
    with_pin: str = ""
    """If not "", it makes a difference to mappings with this pin only."""
    seldom: bool = False
    """Most kernels under test cannot do it, so it is drawn only if it is named."""
    awaits_metadata: bool = False
    """It does not return before metadata is written."""
    probe: Callable[[], object] = lambda: None
    """Raises Unsupported if this kernel cannot do it."""

    def suits(self, pin: str) -> bool:
        """Whether it has something to do with this pin."""
        return pin == self.with_pin if self.with_pin else not (self.for_pins and pin == "none")

    def missing(self) -> str:
        """Why this kernel cannot do it, "" if it can."""
        try:
            self.probe()
        except Unsupported as refusal:
            return str(refusal)
        return ""


def _background(stage: Stage, op: Op) -> None:
    write_back(stage.mapped)


def _truncate(stage: Stage, op: Op) -> None:
    """Down to the middle, not at a boundary of anything, and up again."""
    size_bytes = os.fstat(stage.mapped.descriptor).st_size
    first_byte, _ = _middle(stage, op)
    for wanted in (min(first_byte + _UNALIGNED_BYTES, size_bytes), size_bytes):
        resize(stage, wanted, partial(os.ftruncate, stage.mapped.descriptor, wanted))


def _grow(stage: Stage, op: Op) -> None:
    """Up to the end of the mapping: pages of it that lay past the end of the file become part of the file."""
    wanted = stage.mapped.end_page * stage.mapped.page_bytes
    if os.fstat(stage.mapped.descriptor).st_size < wanted:
        resize(stage, wanted, partial(os.ftruncate, stage.mapped.descriptor, wanted))


def _punch(stage: Stage, op: Op) -> None:
    _zero(stage, "punching a hole", libc.FALLOC_FL_PUNCH_HOLE, *_middle(stage, op))


def _punch_unaligned(stage: Stage, op: Op) -> None:
    first_byte, length_bytes = _middle(stage, op)
    _zero(stage, "punching a hole", libc.FALLOC_FL_PUNCH_HOLE, first_byte + _UNALIGNED_BYTES, length_bytes - 2)


def _zero_range(stage: Stage, op: Op) -> None:
    _zero(stage, "zeroing a range", libc.FALLOC_FL_ZERO_RANGE, *_middle(stage, op))


def _collapse(stage: Stage, op: Op) -> None:
    """Collapse a range and insert one of the same size there.

    What follows a collapsed range moves to other pages, where no stamp of it belongs: so all from there on is punched
    first, and what moves is holes. The page cache below the range stays mapped and pinned throughout.
    """
    descriptor = stage.mapped.descriptor
    size_bytes = os.fstat(descriptor).st_size
    first_byte, length_bytes = _middle(stage, op)
    if first_byte + length_bytes >= size_bytes:
        stage.ledger.append(Note("collapse: the range reaches the end of the file"))
        return
    if not _zero(stage, "punching a hole", libc.FALLOC_FL_PUNCH_HOLE, first_byte, size_bytes - first_byte):
        return
    for mode, wanted in (
        (libc.FALLOC_FL_COLLAPSE_RANGE, size_bytes - length_bytes),
        (libc.FALLOC_FL_INSERT_RANGE, size_bytes),
    ):
        if not resize(stage, wanted, partial(libc.fallocate, descriptor, mode, first_byte, length_bytes)):
            return


def _mprotect(stage: Stage, op: Op) -> None:
    mapped = stage.mapped
    for prot in (libc.PROT_READ, libc.PROT_READ | libc.PROT_WRITE):
        libc.mprotect(mapped.address, mapped.length_bytes, prot)


def _mremap(stage: Stage, op: Op) -> None:
    """A mapping that a pin split in two cannot be moved as one (EFAULT, mremap(2))."""
    _try(stage, "mremap", stage.mapped.move)


def _fork(stage: Stage, op: Op) -> None:
    """A child inherits the mapping, not its lock, and exits."""
    in_child(lambda: 0)


def _munlock(stage: Stage, op: Op) -> None:
    _try(stage, "munlock", lambda: libc.munlock(stage.mapped.address, stage.mapped.length_bytes))


def _relock(stage: Stage, op: Op) -> None:
    _munlock(stage, op)
    _try(stage, "mlock", lambda: libc.mlock(stage.mapped.address, stage.mapped.length_bytes))


def _kill_locker(stage: Stage, op: Op) -> None:
    """SIGKILL to the process that holds the lock (pin mlock-elsewhere), while this one goes on."""
    stage.mapped.held.close()


def _advise(name: str, advice: int, stage: Stage, op: Op) -> None:
    """EINVAL on a locked mapping (mm/madvise.c, can_madv_lru_vma)."""
    _try(stage, name, lambda: libc.madvise(stage.mapped.address, stage.mapped.length_bytes, advice))


def _reopen(stage: Stage, op: Op) -> None:
    """munmap and close without a sync, then open, map and pin again."""
    stage.mapped.reopen()
    stage.pin()


def _buffered_writer(stage: Stage, op: Op) -> None:
    """write(2) to every second page, between pages that are dirty in the mapping."""
    _write_every_second(stage, op, stage.mapped.descriptor)


def _direct_writer(stage: Stage, op: Op) -> None:
    """The same with O_DIRECT, which writes back and invalidates what is cached there, mapped and pinned or not."""
    with ExitStack() as held:
        with refusable("O_DIRECT"):
            descriptor = held.enter_context(opened(stage.mapped.path, os.O_RDWR | os.O_DIRECT))
        _write_every_second(stage, op, descriptor)


def _write_every_second(stage: Stage, op: Op, descriptor: int) -> None:
    """Of the pages that are whole in the file: its size must not change."""
    mapped = stage.mapped
    whole_pages = os.fstat(descriptor).st_size // mapped.page_bytes
    first_page, pages = pages_of(stage, op)
    for page in range(first_page + 1, min(first_page + pages, whole_pages), 2):
        stage.write(page, lambda content, offset_bytes: os.pwrite(descriptor, content, offset_bytes))


def ask(stage: Stage, service: str) -> None:
    """Have the servant do something; what it refuses or says is a note."""
    reply = stage.servant.ask(service)
    if reply.failed:
        stage.ledger.append(Note(f"{service}: {errno.errorcode[reply.failed]}"))
    elif reply.remark:
        stage.ledger.append(Note(f"{service}: {reply.remark}"))


def _asked(service: str, stage: Stage, op: Op) -> None:
    """After `freeze` the filesystem is frozen for a moment: the next store blocks in its fault until the thaw."""
    ask(stage, service)


def pages_of(stage: Stage, op: Op) -> tuple[int, int]:
    """The first page that a step works on, and how many: all that are mapped unless it says otherwise."""
    return (op.first_page, op.pages) if op.pages else (stage.mapped.first_page, stage.mapped.pages)


def _middle(stage: Stage, op: Op) -> tuple[int, int]:
    """First byte and length in bytes of the middle half of the step's pages."""
    first_page, pages = pages_of(stage, op)
    page_bytes = stage.mapped.page_bytes
    return (first_page + pages // 4) * page_bytes, max(pages // 2, 1) * page_bytes


def resize(stage: Stage, size_bytes: int, call: Callable[[], object]) -> bool:
    """Change the size by a call, and record it; False if that failed."""
    return _alter(stage, Resize(stage.worker, stage.mapped.file, size_bytes), "changing the size so", call)


def _zero(stage: Stage, what: str, mode: int, first_byte: int, length_bytes: int) -> bool:
    mode |= libc.FALLOC_FL_KEEP_SIZE
    call = partial(libc.fallocate, stage.mapped.descriptor, mode, first_byte, length_bytes)
    return _alter(stage, Zeroed(stage.worker, stage.mapped.file, first_byte, length_bytes), what, call)


def _alter(stage: Stage, record: Resize | Zeroed, what: str, call: Callable[[], object]) -> bool:
    """False if it failed, for want of space for instance; what it was to lead to must then not be tried."""
    stage.ledger.append(record)
    with fsize_in_force():
        failed = libc.errno_of(call)
    stage.ledger.append(Altered(stage.worker, failed))
    if failed in _IMPOSSIBLE:
        raise Unsupported(what, os.strerror(failed))
    return not failed


def _try(stage: Stage, name: str, call: Callable[[], object]) -> None:
    failed = libc.errno_of(call)
    if failed:
        stage.ledger.append(Note(f"{name}: {errno.errorcode[failed]}"))


DISTURBANCES = {
    row.name: row
    for row in (
        Disturbance("background", _background),
        Disturbance("truncate", _truncate, alone=True),
        Disturbance("grow", _grow, alone=True),
        Disturbance("punch", _punch, needs="punch"),
        Disturbance("punch-unaligned", _punch_unaligned, needs="punch"),
        Disturbance("zero-range", _zero_range, needs="zero-range"),
        Disturbance("collapse", _collapse, needs="collapse", alone=True),
        Disturbance("mprotect", _mprotect),
        Disturbance("mremap", _mremap),
        Disturbance("fork", _fork),
        Disturbance("munlock", _munlock, for_pins=True),
        Disturbance("relock", _relock, for_pins=True),
        Disturbance("kill-locker", _kill_locker, with_pin="mlock-elsewhere"),
        Disturbance("dontneed", partial(_advise, "MADV_DONTNEED", libc.MADV_DONTNEED)),
        Disturbance("pageout", partial(_advise, "MADV_PAGEOUT", libc.MADV_PAGEOUT)),
        Disturbance("reopen", _reopen),
        Disturbance("buffered-writer", _buffered_writer),
        Disturbance("direct-writer", _direct_writer, needs="direct"),
        Disturbance("freeze", partial(_asked, "freeze"), needs="freeze", privileged=True, awaits_metadata=True),
        Disturbance("drop-caches", partial(_asked, "drop-caches"), privileged=True),
        Disturbance(
            "compaction",
            partial(_asked, "compact"),
            privileged=True,
            seldom=True,
            probe=partial(knob, COMPACT_MEMORY),
        ),
        Disturbance("memory-pressure", partial(_asked, "reclaim"), privileged=True, before="join-cgroup", probe=hierarchy),
    )
}

"""Probes: steps by which a worker looks at what it has, or does what no program should. One row of `PROBES` each.

No draw takes them; plans that ask a question name them (torture.contract). `STEPS` are all that a worker can take besides
stores, syncs and gates.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

from verify.ledger import Altered, Looked, Zeroed
from workloads.access import UserStore
from workloads.children import in_child
from workloads.disturbances import DISTURBANCES, Disturbance, Stage, ask, pages_of, resize
from workloads.plan import Op
from workloads.servant import AGE


def _look(stage: Stage, op: Op) -> None:
    """Reading comes first: it populates what was not locked, so that both arms have something to show."""
    mapped = stage.mapped
    first_page, pages = pages_of(stage, op)
    start = (first_page - mapped.first_page) * mapped.page_bytes
    content = bytes(mapped.view[start : start + pages * mapped.page_bytes])
    kib, status = _mapping_kib(mapped.address), os.fstat(mapped.descriptor)
    stage.ledger.append(
        Looked(
            stage.worker,
            nonzero_bytes=len(content) - content.count(0),
            resident_kib=kib["Rss"],
            dirty_kib=kib["Shared_Dirty"] + kib["Private_Dirty"],
            locked_kib=_locked_kib(),
            blocks=status.st_blocks,
            mtime_ns=status.st_mtime_ns,
        )
    )


def _look_in_child(stage: Stage, op: Op) -> None:
    """What a forked child sees, who inherits the mapping."""
    in_child(lambda: _look(stage, op))


def _mapping_kib(address: int) -> dict[str, int]:
    """Sizes of the mapping that begins at an address, in KiB, from /proc/self/smaps (proc(5))."""
    begins, inside, found = f"{address:x}-", False, dict[str, int]()
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split()[0]
        if not head.endswith(":"):
            inside = line.lstrip("0").startswith(begins)
        elif inside and line.endswith(" kB"):
            found[head[:-1]] = int(line.split()[1])
    return found


def _locked_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmLck:"))


def _age(stage: Stage, op: Op) -> None:
    """Set the times of the file to 0, then open, map and pin anew: what changes the file is seen by its mtime."""
    ask(stage, f"{AGE} {stage.worker}")
    stage.mapped.reopen()
    stage.pin()


def _empty(stage: Stage, op: Op) -> None:
    """Truncate the file to nothing: every page of the mapping is past its end."""
    resize(stage, 0, partial(os.ftruncate, stage.mapped.descriptor, 0))


class _PastEnd(UserStore):
    """The bytes of the last page that do not belong to the file."""

    def reach(self) -> tuple[int, int]:
        return os.fstat(self.mapped.descriptor).st_size % self.mapped.page_bytes, self.mapped.page_bytes


def _scribble(stage: Stage, op: Op) -> None:
    """Store past the end of the file, in its last page. To whoever sees these bytes later they are zeros (mmap(2))."""
    mapped = stage.mapped
    size_bytes = os.fstat(mapped.descriptor).st_size
    page, within = divmod(size_bytes, mapped.page_bytes)
    stage.ledger.append(Zeroed(stage.worker, mapped.file, size_bytes, mapped.page_bytes - within))
    refused = _PastEnd(mapped).store(page, 1, memoryview(b"\xee" * mapped.page_bytes))
    stage.ledger.append(Altered(stage.worker, errno.EFAULT if refused else 0))


PROBES = {
    row.name: row
    for row in (
        Disturbance("look", _look),
        Disturbance("look-in-child", _look_in_child),
        Disturbance("age", _age, privileged=True),
        Disturbance("empty", _empty, alone=True),
        Disturbance("scribble", _scribble),
    )
}
STEPS = {**DISTURBANCES, **PROBES}

"""The kernel log of a trial: what the kernel said since the trial began, and its own alarms in it.

The log is evidence, never a report to the application (design.md section 2). Only the kernel's own markers make a
finding; a filesystem's complaints about a device that the tool broke on purpose do not.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

MARKERS = re.compile(
    r"WARNING: |BUG: (?!KCSAN: )|kernel BUG at|Oops|general protection fault|INFO: task .* blocked for more than"
    r"|possible recursive locking detected|possible circular locking dependency|inconsistent lock state"
    r"|suspicious RCU usage|Assertion failed|UBSAN: |KASAN: "
    r"|INFO: .* (?:self-)?detected (?:expedited )?stalls? on |[1-9]\d* new suspected memory leaks"
    r"|Page cache invalidation failure on direct I/O"
)
"""Written by lib/bug.c, kernel/panic.c, kernel/hung_task.c, kernel/locking/lockdep.c, kernel/rcu, mm/kmemleak.c, fs/xfs,
mm/memory.c and mm/page_alloc.c ("BUG: Bad page"). The last one, of mm/filemap.c, is legal where somebody stores to a page
while another writes it with O_DIRECT: here only its own worker does, between two stores."""
SOUND_DISK_MARKERS = re.compile(r"This should not happen!! +Data will be lost")
"""Announced by ext4 when writeback finds no block for what was accepted (mpage_map_and_submit_extent). Legal where reads or
writes of metadata may have failed, as they may when the disk is broken on purpose; a full disk is no excuse."""
DATA_RACE = "BUG: KCSAN: "
"""Of kernel/kcsan/report.c: two threads met without a lock, which need not do harm."""


_MICROSECONDS = re.compile(r"[0-9]{1,20}")


class KernelLog:
    """Reads /dev/kmsg from now on. Without the right to read it, `readable` is false and the log empty."""

    def __init__(self) -> None:
        self._taint = _taint()
        try:
            self._descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
            os.lseek(self._descriptor, 0, os.SEEK_END)
            self.readable = True
        except OSError:
            self.readable = False

    @property
    def tainted(self) -> bool:
        """Whether the kernel warned, or worse, since this was made (Documentation/admin-guide/tainted-kernels.rst)."""
        return _taint() != self._taint

    def since(self) -> list[str]:
        """The messages that came since the last call, oldest first, as `seconds.microseconds text`."""
        lines: list[str] = []
        while self.readable:
            try:
                record = os.read(self._descriptor, 8192).decode(errors="replace")
            except BlockingIOError:
                break
            except BrokenPipeError:
                lines.append("(older messages were overwritten before they could be read)")
                continue
            lines.append(render(record))
        return lines


def _taint() -> str:
    return Path("/proc/sys/kernel/tainted").read_text()


def alarms(lines: list[str], *, sound_disk: bool = True) -> list[str]:
    """The lines that carry one of the kernel's own markers, some of which count only on a disk that nobody broke."""
    return [line for line in lines if MARKERS.search(line) or (sound_disk and SOUND_DISK_MARKERS.search(line))]


def data_races(lines: list[str]) -> list[str]:
    """Sentences of evidence: each race that the kernel reported."""
    return [f"the kernel reported a data race: {line}" for line in lines if DATA_RACE in line]


def render(record: str) -> str:
    """`6,339,5140900,-;text` (Documentation/ABI/testing/dev-kmsg) without its continuation lines."""
    head, _, text = record.partition(";")
    fields = head.split(",")
    stamp = int(fields[2]) / 1e6 if len(fields) > 2 and _MICROSECONDS.fullmatch(fields[2]) else 0.0
    return f"{stamp:.6f} {text.splitlines()[0] if text else ''}"

"""The kernel log of a trial: what the kernel said since the trial began, and its own alarms in it.

The log is evidence, never a report to the application (design.md section 2). Only the kernel's own markers make a
finding; a filesystem's complaints about a device that the tool broke on purpose do not.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

MARKERS = re.compile(
    r"WARNING: |BUG: |kernel BUG at|Oops|general protection fault|INFO: task .* blocked for more than"
    r"|possible recursive locking detected|possible circular locking dependency|inconsistent lock state"
    r"|suspicious RCU usage|Assertion failed|UBSAN: |KASAN: "
)
"""Written by lib/bug.c, kernel/panic.c, kernel/hung_task.c, kernel/locking/lockdep.c, kernel/rcu and fs/xfs."""


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


def alarms(lines: list[str]) -> list[str]:
    """The lines that carry one of the kernel's own markers."""
    return [line for line in lines if MARKERS.search(line)]


def render(record: str) -> str:
    """`6,339,5140900,-;text` (Documentation/ABI/testing/dev-kmsg) without its continuation lines."""
    head, _, text = record.partition(";")
    fields = head.split(",")
    stamp = int(fields[2]) / 1e6 if len(fields) > 2 and _MICROSECONDS.fullmatch(fields[2]) else 0.0
    return f"{stamp:.6f} {text.splitlines()[0] if text else ''}"

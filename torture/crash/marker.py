"""Marks the log of writes whenever a sync has returned: the mark is the ledger position that is then known.

A process of its own watches the ledger: no worker waits for it, and no thread is there when workers are forked.
Whatever stands in the ledger when a mark is sent happened before the mark, so a mark that comes late owes less, never
too much.
"""

from __future__ import annotations

import ctypes
import os
import select
import traceback
from contextlib import suppress
from pathlib import Path

from devicemapper.device import MappedDevice
from torture.errors import StepFailed
from verify.c_library import function
from verify.ledger import Synced

_IN_MODIFY = 0x2
_POLL_MS = 50
_SYNCED = f'["{Synced.TAG}",'.encode()
_READ_BYTES = 1 << 16


class Marker:
    """Runs from `start` to `stop`."""

    def __init__(self, device: MappedDevice, ledger: Path) -> None:
        self._device, self._ledger = device, ledger
        self._pid = self._stop = -1

    def start(self) -> int:
        """Begin to watch; returns the ledger position from which on syncs are marked."""
        ends, self._stop = os.pipe()
        ready, watching = os.pipe()
        tail = _Tail(self._ledger)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._stop)
            self._watch(tail, ends, watching)
        os.close(ends)
        os.close(watching)
        os.read(ready, 1)  # or the end of the file, if the marker broke: `stop` tells
        os.close(ready)
        return tail.position

    def stop(self) -> None:
        """Mark what is left and end. StepFailed when the marker broke."""
        os.close(self._stop)
        _, status = os.waitpid(self._pid, 0)
        if status:
            raise StepFailed("marks in the log of writes", f"the marker ended with status {status}, see marker.txt")

    def _watch(self, tail: _Tail, ends: int, watching: int) -> None:
        """The marker's process. It goes before the workers, so that the mark follows the sync at once."""
        status = 1
        try:
            poll = select.poll()
            changes = _notified(self._ledger)
            poll.register(ends, select.POLLHUP)
            poll.register(changes, select.POLLIN)
            with suppress(PermissionError):  # in a container: marks then come later and owe less
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            os.write(watching, b"1")
            ready: set[int] = set()
            while ends not in ready:
                ready = {descriptor for descriptor, _ in poll.poll(_POLL_MS)}
                if changes in ready:
                    os.read(changes, _READ_BYTES)
                self._mark(tail)
            status = 0
        except BaseException:
            (self._ledger.parent / "marker.txt").write_text(traceback.format_exc())
        finally:
            os._exit(status)

    def _mark(self, tail: _Tail) -> None:
        if tail.has_synced():
            self._device.send(f"mark {tail.position}")


class _Tail:
    """Follows a ledger: `position` counts its whole lines so far."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._rest = b""
        self.position = 0
        self.has_synced()

    def has_synced(self) -> bool:
        """Read on; whether a sync has returned since the last call."""
        synced = False
        while chunk := os.read(self._descriptor, _READ_BYTES):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self.position += len(lines)
            synced = synced or any(line.startswith(_SYNCED) for line in lines)
        return synced


def _notified(path: Path) -> int:
    """An inotify descriptor that becomes readable at each write to `path`."""
    descriptor = function("inotify_init1", ctypes.c_int)(os.O_NONBLOCK | os.O_CLOEXEC)
    function("inotify_add_watch", ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)(descriptor, os.fsencode(path), _IN_MODIFY)
    return descriptor

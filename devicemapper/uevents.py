"""The kernel's uevents (and udev's, where it runs): waiting for what they announce, and keeping them as evidence."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable
from typing import Self

_DATAGRAM_BYTES = 1 << 16
_KOBJECT_UEVENT = 15  # NETLINK_KOBJECT_UEVENT, include/uapi/linux/netlink.h
_KERNEL_GROUP, _UDEV_GROUP = 1, 2
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


class UeventRecord:
    """Notes the kernel's uevents from `__enter__` to `__exit__`. `missing` says why nothing could be noted."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._events: list[str] = []
        self.missing = ""

    def __enter__(self) -> Self:
        try:
            self._socket = _listening(_KERNEL_GROUP)
        except OSError as error:
            self.missing = str(error)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._socket:
            self.events()
            self._socket.close()
            self._socket = None

    def events(self) -> list[str]:
        """All so far, in order, each as "ACTION DEVPATH"."""
        while self._socket:
            try:
                head = self._socket.recv(_DATAGRAM_BYTES).split(b"\0", 1)[0]
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._events.append("lost some")
                continue
            self._events.append(head.decode(errors="replace").replace("@", " ", 1))
        return self._events


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether `condition` comes true in time.

    It is tried after each uevent and, as not everything is announced by one (the last close of a device is not), after
    pauses that grow from 20 ms to 0.5 s.
    """
    if condition():
        return True
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    with _listening(_KERNEL_GROUP | _UDEV_GROUP) as events:
        while not condition():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            if select.select([events], [], [], min(pause_s, left_s))[0]:
                _drop(events)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return True


def _listening(groups: int) -> socket.socket:
    """A socket that receives the uevents of `groups` from now on."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _KOBJECT_UEVENT)
    try:
        events.setblocking(False)
        events.bind((0, groups))
    except BaseException:
        events.close()
        raise
    return events


def _drop(events: socket.socket) -> None:
    """Take one event; that some were lost does not matter to who looks again."""
    try:
        events.recv(_DATAGRAM_BYTES)
    except OSError as error:
        if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
            raise

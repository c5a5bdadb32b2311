"""Waiting for the kernel's uevents (and udev's, where it runs) with a timeout, through pyroute2's netlink socket.

Open the listener before the command whose event it shall see. pyroute2 is imported only when the first listener opens:
that takes 0.2 s, in User-mode Linux 0.5 to 1 s, and a wait whose condition already holds needs none.

pyroute2's synchronous `get` has no timeout and reads ahead into a queue of its event loop, so the datagrams are taken
from the socket after poll(2), by the thread that created and bound it, and only parsed by pyroute2.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from devicemapper.errors import BlockStackError

_DATAGRAM_BYTES = 1 << 16
_KOBJECT_UEVENT = 15  # NETLINK_KOBJECT_UEVENT, include/uapi/linux/netlink.h
_KERNEL_GROUP = 1
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Uevent:
    """One event. `device` is the kernel's name of the device node ("dm-0", "loop3"), "" where there is none;
    `source` is "kernel" or "udev"; `fields` are all variables of the event."""

    source: str
    action: str
    subsystem: str
    devpath: str
    device: str
    fields: Mapping[str, str]


@dataclass(eq=False)
class UeventTimeout(BlockStackError):
    """The awaited event did not come in time; `seen` are those that did, as "ACTION DEVPATH"."""

    awaited: str
    timeout_s: float
    seen: tuple[str, ...]

    def __str__(self) -> str:
        came = ", ".join(self.seen) or "no event at all"
        return f"no uevent for {self.awaited} within {self.timeout_s:g} s; there was: {came}"


class UeventListener:
    """Receives every uevent from `__enter__` on. To be used by one thread."""

    def __enter__(self) -> Self:
        from pyroute2.netlink import uevent  # slow to import: see above

        self._socket: Any = uevent.UeventSocket()
        try:
            self._socket.bind(uevent.MONITOR_GROUP_KERNEL | uevent.MONITOR_GROUP_UDEV)
        except BaseException:
            self._socket.close()
            raise
        self._poller = select.poll()
        self._poller.register(self._socket.fileno(), select.POLLIN)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()

    def wait(self, predicate: Callable[[Uevent], bool], timeout_s: float, awaited: str = "the device") -> Uevent:
        """The first event that `predicate` accepts. UeventTimeout if none comes in time."""
        deadline = time.monotonic() + timeout_s
        seen: list[str] = []
        while self._readable(deadline - time.monotonic()):
            for event in self._receive():
                if predicate(event):
                    return event
                seen.append(f"{event.action} {event.devpath}")
        raise UeventTimeout(awaited, timeout_s, tuple(seen))

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Whether `condition` comes true in time. It is tried after each event and, as not everything is announced by
        one (the last close of a device is not), after pauses that grow from 20 ms to 0.5 s."""
        deadline = time.monotonic() + timeout_s
        pause_s = _FIRST_PAUSE_S
        while not condition():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            if self._readable(min(pause_s, left_s)):
                self._receive()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return True

    def _readable(self, timeout_s: float) -> bool:
        return timeout_s > 0 and bool(self._poller.poll(timeout_s * 1000))

    def _receive(self) -> list[Uevent]:
        try:
            datagram = self._socket.recv(_DATAGRAM_BYTES)
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):  # events were lost, or it was read already
                raise
            return []
        return [_uevent(message) for message in self._socket.marshal.parse(datagram)]


class UeventRecord:
    """Notes the kernel's uevents from `__enter__` to `__exit__`, as evidence: a plain socket, since nothing is awaited
    and pyroute2 would cost its import. `missing` says why nothing could be noted."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._events: list[str] = []
        self.missing = ""

    def __enter__(self) -> Self:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _KOBJECT_UEVENT)
            self._socket.setblocking(False)
            self._socket.bind((0, _KERNEL_GROUP))
        except OSError as error:
            self.missing = str(error)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
    """Whether `condition` comes true in time; see UeventListener.until. The socket is opened only if it is not yet."""
    if condition():
        return True
    with UeventListener() as listener:
        return listener.until(condition, timeout_s)


def of_device(device: str, *actions: str) -> Callable[[Uevent], bool]:
    """A predicate: the event is about this device ("dm-0") and its action one of these, if any is given."""
    return lambda event: event.device == device and (not actions or event.action in actions)


def _uevent(message: Mapping[str, Any]) -> Uevent:
    """From pyroute2's message: the variables, and under "header" what kind of datagram it was."""
    fields = {name: value for name, value in message.items() if isinstance(value, str)}
    return Uevent(
        source="udev" if message["header"]["message"] == "libudev" else "kernel",
        action=fields.get("ACTION", ""),
        subsystem=fields.get("SUBSYSTEM", ""),
        devpath=fields.get("DEVPATH", ""),
        device=fields.get("DEVNAME", "").removeprefix("/dev/"),
        fields=fields,
    )

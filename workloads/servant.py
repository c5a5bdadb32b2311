"""A worker's servant: does for it what only root may, such as freezing the filesystem.

A worker drops its privileges, so the servant is forked before that, and only for a plan that needs one. It serves one
request at a time over a channel, is ended by the end of file of that channel, whatever becomes of the worker, and
holds nothing of the filesystem under test between two requests. A freeze thaws by itself.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from verify.descriptors import opened
from workloads import libc
from workloads.channel import Channel, Message, Verb
from workloads.memory_cgroup import MemoryCgroup, leave_inherited
from workloads.unsupported import Unsupported

AGE = "age"
DROP_CACHES, COMPACT_MEMORY = "drop_caches", "compact_memory"
FREEZE_S = 0.1
_FIRST_DESCRIPTOR = 3


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a service."""

    failed: int
    """0, or the errno."""
    remark: str
    """What the ledger is to say of it, "" for nothing."""


class Servant:
    """The worker's end; a context manager that dismisses the servant."""

    def __init__(self) -> None:
        """Fork the servant. Call it as root, and before the channel of the worker matters to anybody."""
        self._channel, theirs = Channel.pair()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(theirs)
        theirs.close()

    def ask(self, service: str, argument: str = "") -> Reply:
        """Have a row of `SERVICES` done. Raises Unsupported if the kernel has no such thing."""
        self._channel.send(Message(Verb.ASK, json.dumps([service, argument])))
        answer = self._channel.receive(None)
        if answer is None:
            raise BrokenPipeError(errno.EPIPE, f"the servant died of {service}")
        failed, remark, refusal = json.loads(answer.text)
        if refusal:
            raise Unsupported(*refusal)
        return Reply(failed, remark)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._channel.close()
        os.waitpid(self._pid, 0)


def _serve(channel: Channel) -> NoReturn:
    """The servant's process: answers as soon as the service has begun, ends with the channel."""
    status, worker = 1, str(os.getppid())
    try:
        os.closerange(_FIRST_DESCRIPTOR, channel.fileno())
        os.closerange(channel.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        leave_inherited()  # of whoever starves a group to kill the worker: what is frozen has to be thawed
        while request := channel.receive(None):
            service, argument = json.loads(request.text)
            SERVICES[service](argument, lambda failed, remark: channel.send(_answer(failed, remark)))
        _leave_cgroup(worker)
        status = 0
    except Unsupported as refusal:
        channel.send(Message(Verb.ANSWER, json.dumps([0, "", [refusal.what, refusal.reason]])))
    finally:
        os._exit(status)


def _answer(failed: int, remark: str) -> Message:
    return Message(Verb.ANSWER, json.dumps([failed, remark, None]))


Answer = Callable[[int, str], None]


def _freeze(directory: str, answer: Answer) -> None:
    """Frozen when answered, thawed FREEZE_S later; EBUSY when somebody else froze it, EIO when it was shut down."""
    with ExitStack() as held:
        try:
            descriptor = held.enter_context(opened(Path(directory)))
        except OSError as error:
            return answer(error.errno or errno.EIO, "")
        failed = libc.errno_of(lambda: libc.freeze(descriptor))
        if failed in (errno.EOPNOTSUPP, errno.ENOTTY):
            raise Unsupported("freezing", os.strerror(failed))
        try:
            answer(failed, "")
            time.sleep(0 if failed else FREEZE_S)
        finally:  # the worker may have been killed, and is not there to be answered
            if not failed:
                libc.thaw(descriptor)


def _drop_caches(_: str, answer: Answer) -> None:
    """Clean pages that nobody maps, and dentries and inodes (Documentation/admin-guide/sysctl/vm.rst)."""
    _tell_kernel(DROP_CACHES, "3", answer)


def _compact(_: str, answer: Answer) -> None:
    """Move pages, mapped and mlocked ones too, in all zones."""
    _tell_kernel(COMPACT_MEMORY, "1", answer)


def _tell_kernel(name: str, value: str, answer: Answer) -> None:
    knob(name).write_text(value)
    answer(0, "")


def knob(name: str) -> Path:
    """A file of /proc/sys/vm. Raises Unsupported if the kernel has none of that name."""
    path = Path("/proc/sys/vm") / name
    if not path.exists():
        raise Unsupported(f"vm.{name}", "the kernel has none")
    return path


def _join_cgroup(pid: str, answer: Answer) -> None:
    """Put a worker in a memory cgroup of its own, so that the pages it touches from now on are charged there."""
    MemoryCgroup(pid).join()
    answer(0, "")


def _reclaim(pid: str, answer: Answer) -> None:
    """Reclaim what can be of the worker's cgroup: clean pages that are not pinned, dirty ones after writeback."""
    answer(0, MemoryCgroup(pid).reclaim())


def _leave_cgroup(pid: str) -> None:
    with suppress(Unsupported):
        MemoryCgroup(pid).leave()


def _age(path: str, answer: Answer) -> None:
    """Only the owner of a file may set its times to what he likes."""
    os.utime(path, ns=(0, 0))
    answer(0, "")


SERVICES: dict[str, Callable[[str, Answer], None]] = {
    AGE: _age,
    "freeze": _freeze,
    "drop-caches": _drop_caches,
    "compact": _compact,
    "join-cgroup": _join_cgroup,
    "reclaim": _reclaim,
}

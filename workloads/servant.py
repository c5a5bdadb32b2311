"""A worker's servant: does for it what only root may, such as freezing the filesystem.

A worker drops its privileges, so the servant is forked before that, and only for a plan that needs one. At the fork it
learns for whom it works, on which mount and on which files there; the worker, which may have been taken over, can ask
for a service by its name and for nothing else. It serves one request at a time over a channel, and is ended by the end
of file of that channel, whatever becomes of the worker. Until then it holds the root of the mount. A freeze thaws by
itself.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from verify.closing import Closing
from verify.descriptors import opened
from workloads import libc
from workloads.channel import Channel, Message, Verb
from workloads.memory_cgroup import MemoryCgroup, leave_inherited
from workloads.unsupported import Unsupported

AGE = "age"
DROP_CACHES, COMPACT_MEMORY = "drop_caches", "compact_memory"
FREEZE_S = 0.1
_FIRST_DESCRIPTOR = 3
_EXIT_TIMEOUT_S, _EXIT_POLL_S = 10.0, 0.01


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a service."""

    failed: int
    """0, or the errno."""
    remark: str
    """What the ledger is to say of it, "" for nothing."""


class Servant(Closing):
    """The worker's end; a context manager that dismisses the servant."""

    def __init__(self, mount_point: Path | None, files: Mapping[str, Path]) -> None:
        """Fork the servant of this process, for a filesystem that is mounted on `mount_point`; None if there is none to
        freeze. `files`: those of its plans, by what is asked for. Call it as root, and before the channel of the worker
        matters to anybody. Raises Unsupported if nothing is mounted there."""
        self._channel, theirs = Channel.pair()
        worker = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(theirs, worker, mount_point, files)
        theirs.close()
        self._hear("its start")

    def ask(self, service: str) -> Reply:
        """Have a row of `SERVICES` done. Raises Unsupported if the kernel has no such thing."""
        self._channel.send(Message(Verb.ASK, service))
        return self._hear(service)

    def _hear(self, service: str) -> Reply:
        answer = self._channel.receive(None)
        if answer is None:
            raise BrokenPipeError(errno.EPIPE, f"the servant died of {service}")
        failed, remark, refusal = json.loads(answer.text)
        if refusal:
            raise Unsupported(*refusal)
        return Reply(failed, remark)

    def close(self) -> None:
        """Dismiss it."""
        self._channel.close()
        os.waitpid(self._pid, 0)


@dataclass(frozen=True, slots=True)
class Client:
    """For whom a servant works."""

    worker: str
    """The process."""
    root: int | None
    """A descriptor of the root of the filesystem under test, None if the servant was told of none."""
    mount_point: Path | None
    """Where that is mounted."""
    files: Mapping[str, Path]
    """The worker's."""


def _serve(channel: Channel, worker: int, mount_point: Path | None, files: Mapping[str, Path]) -> NoReturn:
    """The servant's process: answers as soon as the service has begun, ends with the channel."""
    status = 1
    try:
        os.closerange(_FIRST_DESCRIPTOR, channel.fileno())
        os.closerange(channel.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        leave_inherited()  # of whoever starves a group to kill the worker: what is frozen has to be thawed
        with root_of_mount(mount_point) if mount_point else nullcontext() as root:
            client = Client(str(worker), root, mount_point, files)
            channel.send(_answer(0, ""))
            while request := channel.receive(None):
                _do(request.text, client, lambda failed, remark: channel.send(_answer(failed, remark)))
            _leave_cgroup(client)
        status = 0
    except Unsupported as refusal:
        channel.send(Message(Verb.ANSWER, json.dumps([0, "", [refusal.what, refusal.reason]])))
    finally:
        os._exit(status)


def _do(request: str, client: Client, answer: Answer) -> None:
    service, _, worker = request.partition(" ")
    if service == AGE:
        _age(client, answer, worker)
    else:
        SERVICES[service](client, answer)


@contextmanager
def root_of_mount(mount_point: Path) -> Iterator[int]:
    """A descriptor of what is mounted on `mount_point`; Unsupported if that is part of another filesystem, the one this
    machine runs on for instance: a directory and the one above it are then on the same device."""
    with opened(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as root:
        if os.fstat(root).st_dev == os.stat("..", dir_fd=root).st_dev:
            raise Unsupported("freezing", f"nothing is mounted on {mount_point}")
        yield root


def _answer(failed: int, remark: str) -> Message:
    return Message(Verb.ANSWER, json.dumps([failed, remark, None]))


Answer = Callable[[int, str], None]


def _freeze(client: Client, answer: Answer) -> None:
    """Frozen when answered, thawed FREEZE_S later; EBUSY when somebody else froze it, EIO when it was shut down."""
    root = client.root
    if root is None:
        raise Unsupported("freezing", "the worker was started without the mount point")
    failed = libc.errno_of(lambda: libc.freeze(root))
    if failed in (errno.EOPNOTSUPP, errno.ENOTTY):
        raise Unsupported("freezing", os.strerror(failed))
    try:
        answer(failed, "")
        time.sleep(0 if failed else FREEZE_S)
    finally:  # the worker may have been killed, and is not there to be answered
        if not failed:
            libc.thaw(root)


def _tell_kernel(name: str, value: str, _: Client, answer: Answer) -> None:
    """Have it drop clean pages that nobody maps, dentries and inodes (Documentation/admin-guide/sysctl/vm.rst), or move
    pages, mapped and mlocked ones too, in all zones."""
    knob(name).write_text(value)
    answer(0, "")


def knob(name: str) -> Path:
    """A file of /proc/sys/vm. Raises Unsupported if the kernel has none of that name."""
    path = Path("/proc/sys/vm") / name
    if not path.exists():
        raise Unsupported(f"vm.{name}", "the kernel has none")
    return path


def _join_cgroup(client: Client, answer: Answer) -> None:
    """Put a worker in a memory cgroup of its own, so that the pages it touches from now on are charged there."""
    MemoryCgroup(client.worker).join()
    answer(0, "")


def _reclaim(client: Client, answer: Answer) -> None:
    """Reclaim what can be of the worker's cgroup: clean pages that are not pinned, dirty ones after writeback."""
    answer(0, MemoryCgroup(client.worker).reclaim())


def _leave_cgroup(client: Client) -> None:
    """A worker that was killed closes its channel a moment before it is out of its group, which is busy until then."""
    deadline = time.monotonic() + _EXIT_TIMEOUT_S
    while True:
        try:
            MemoryCgroup(client.worker).leave()
            return
        except Unsupported:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(_EXIT_POLL_S)


def _age(client: Client, answer: Answer, worker: str) -> None:
    """Only the owner of a file may set its times to what he likes."""
    path = client.files[worker]
    if client.mount_point is None or not path.is_relative_to(client.mount_point) or ".." in path.parts:
        raise Unsupported("setting the times", f"{path} is not on the filesystem under test")
    with ExitStack() as held:
        directory = client.root
        *above, name = path.relative_to(client.mount_point).parts
        for part in above:
            directory = held.enter_context(_directory_in(directory, part))
        os.utime(name, ns=(0, 0), dir_fd=directory, follow_symlinks=False)
    answer(0, "")


@contextmanager
def _directory_in(directory: int | None, name: str) -> Iterator[int]:
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


SERVICES: dict[str, Callable[[Client, Answer], None]] = {
    "freeze": _freeze,
    "drop-caches": partial(_tell_kernel, DROP_CACHES, "3"),
    "compact": partial(_tell_kernel, COMPACT_MEMORY, "1"),
    "join-cgroup": _join_cgroup,
    "reclaim": _reclaim,
}
"""What a worker may ask for, besides AGE, which is done to the file of one of the plans that the worker carries out."""

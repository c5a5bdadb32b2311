"""Mount namespaces: an agent on a machine that people need mounts where nobody else looks (mount_namespaces(7)).

What is mounted in a namespace goes with its last process. Whoever ends the processes keeps the namespace open until it
has undone what is mounted there, since only then can it be thawed, waited for and told what resists.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from devicemapper import libc

_MS_REC, _MS_SLAVE = 0x4000, 1 << 19
"""include/uapi/linux/mount.h"""

T = TypeVar("T")


def make_own() -> None:
    """A mount namespace for the calling thread and what it starts: nothing that they mount shows elsewhere.

    What others unmount goes here too, as far as the machine's mounts are shared (MS_SLAVE, not MS_PRIVATE): a run keeps
    no filesystem of theirs busy.
    """
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount(b"none", b"/", b"", _MS_REC | _MS_SLAVE, b"")


def foreign(pid: int) -> int | None:
    """A descriptor of the mount namespace of a process, which stays there until the descriptor is closed; None if it is
    ours, or the process is gone. Needs the rights to trace it."""
    place = Path(f"/proc/{pid}/ns/mnt")
    try:
        if place.stat().st_ino == Path("/proc/self/ns/mnt").stat().st_ino:
            return None
        return os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def within(namespace: int, act: Callable[[], T]) -> T:
    """Do something in a namespace, given as a descriptor; what it returns or raises.

    In a thread of its own: setns(2) wants a process, or a thread that shares no file system attributes (CLONE_FS).
    """

    def enter() -> None:
        libc.unshare(libc.CLONE_FS)
        libc.setns(namespace, libc.CLONE_NEWNS)

    return _in_thread(enter, act)


def apart(act: Callable[[], T]) -> T:
    """Do something in a namespace that is there for nothing else; what it returns or raises."""
    return _in_thread(make_own, act)


def _in_thread(enter: Callable[[], None], act: Callable[[], T]) -> T:
    """unshare(2) with CLONE_NEWNS concerns the calling thread alone, and implies CLONE_FS."""

    def enter_and_act() -> T:
        enter()
        return act()

    with ThreadPoolExecutor(1, "mount namespace") as thread:
        return thread.submit(enter_and_act).result()

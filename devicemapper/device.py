"""Mapped devices: created, swapped to other tables under I/O, inspected and removed, as dmsetup(8) does.

Where no udev runs (guests), the ioctls are called directly and the nodes made here, because a process each time was a
quarter of the time of a trial; when the kernel says no, dmsetup is asked the same, so that its words go into the error.
Where udev runs, dmsetup does it all, since it knows how to wait for udev. Which devices exist and which are suspended
is read from sysfs (Documentation/ABI/testing/sysfs-block-dm): that costs no command, and answers "none" on a kernel
without device-mapper.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from devicemapper import control, tools, uevents
from devicemapper.errors import BlockStackError
from devicemapper.status import Status, parse_status
from devicemapper.table import Table

COMMAND_TIMEOUT_S = 30.0
REMOVE_TIMEOUT_S = 10.0
NODE_TIMEOUT_S = 10.0

_NODES = Path("/dev/mapper")
_UDEV_SOCKET = Path("/run/udev/control")
_NAME = re.compile(r"[A-Za-z0-9#+.:=@_-]{1,127}")  # what libdm leaves as it is; DM_NAME_LEN is 128


@dataclass(eq=False)
class NodeMissing(BlockStackError):
    """A mapped device exists and its node in /dev/mapper did not appear."""

    path: Path
    timeout_s: float

    def __str__(self) -> str:
        return f"the node {self.path} did not appear within {self.timeout_s:g} s"


class MappedDevice:
    """A device that exists from `__enter__` to `__exit__`. Begin `name` with the run's id: `reap` goes by it."""

    def __init__(self, name: str, table: Table) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name for a mapped device: {name!r}")
        self.name = name
        self._table = table

    @property
    def path(self) -> Path:
        """The device node."""
        return _NODES / self.name

    def __enter__(self) -> Self:
        _do("create", self.name, self._create, self._table)
        try:
            self._await_node()
        except BaseException:
            self.remove()
            raise
        return self

    def _create(self) -> None:
        number = control.create(self.name)
        try:
            control.load_table(self.name, self._table)
            control.resume(self.name)
            os.mknod(self.path, stat.S_IFBLK | 0o600, number)
        except BaseException:
            control.remove(self.name)
            raise

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def swap_table(self, table: Table) -> None:
        """Put another table in force. I/O under way completes through the old one; a filesystem above is neither
        frozen nor synced.

        The table is loaded first, so that a bad one (CommandFailed) changes nothing; then one DM_DEV_SUSPEND ioctl
        suspends, swaps and resumes (do_resume() in drivers/md/dm-ioctl.c), so that no kill can leave the device
        suspended. If the swap itself fails, the kernel drops the new table and stays suspended: the old one is resumed.
        """
        _do("load", self.name, partial(control.load_table, self.name, table), table, by_udev=False)
        try:
            self._put_in_force()
        except tools.CommandFailed:
            self.resume()
            raise
        self._table = table

    def _put_in_force(self) -> None:
        """The loaded table. Never tried twice: the second time would resume the old one and look like a success."""
        if _has_udev():
            _dmsetup("resume", "--nolockfs", self.name)
            return
        began = time.monotonic()
        words = ("dmsetup", "resume", "--nolockfs", self.name)
        try:
            control.resume(self.name)
        except OSError as error:
            said = f"device-mapper: resume ioctl on {self.name} failed: {os.strerror(error.errno or 0)}"
            raise tools.CommandFailed(words, 1, "", said) from error
        tools.note(words, time.monotonic() - began)

    def exchange_table(self, table: Table) -> None:
        """As `swap_table`, by ioctl: for tables that live a few milliseconds. OSError if the kernel says no."""
        control.load_table(self.name, table)
        control.resume(self.name)
        self._table = table

    def send(self, message: str) -> None:
        """A message to the target of the first segment, by ioctl. OSError if it does not take it."""
        control.send(self.name, message)

    def ask(self, message: str) -> str:
        """As `send`, through dmsetup: what the target answers, "" if nothing."""
        return _dmsetup("message", self.name, "0", message).stdout.strip()

    def resume(self) -> None:
        """Let I/O through again."""
        _do("resume --nolockfs", self.name, partial(control.resume, self.name))

    @property
    def table(self) -> Table:
        """The table in force, as it was given."""
        return self._table

    def status(self) -> tuple[Status, ...]:
        """What each segment's target says of itself. I/O under way is not waited for."""
        return parse_status(_dmsetup("status", "--noflush", self.name).stdout)

    def remove(self, timeout_s: float = REMOVE_TIMEOUT_S) -> None:
        """Remove it if it is there; resume it first, as I/O held back keeps it busy for ever.

        While it is busy, retries until `timeout_s` have passed, then raises CommandFailed with what dmsetup said.
        """
        _remove(self.name, timeout_s)

    def _await_node(self) -> None:
        """udev may be late, and dmsetup leaves the node to a udev that is not there: make it then, and wait for it."""
        if self.path.exists():
            return
        _dmsetup("mknodes", self.name)
        if not uevents.wait_until(self.path.exists, NODE_TIMEOUT_S):
            raise NodeMissing(self.path, NODE_TIMEOUT_S)


def devices(prefix: str) -> Mapping[str, Path]:
    """The mapped devices of this kernel whose names begin with `prefix`, with their sysfs directories."""
    found = {}
    for name_file in Path("/sys/block").glob("dm-*/dm/name"):
        name = _read(name_file)
        if name.startswith(prefix) and name:
            found[name] = name_file.parent.parent
    return found


def resume_suspended(prefix: str) -> tuple[str, ...]:
    """Resume the suspended devices whose names begin with `prefix`; to be done before their filesystems are unmounted,
    which would hang. Returns their names."""
    suspended = [name for name, directory in devices(_checked(prefix)).items() if _suspended(directory)]
    for name in suspended:
        _dmsetup("resume", "--nolockfs", name)
    return tuple(suspended)


def reap(prefix: str, timeout_s: float = REMOVE_TIMEOUT_S) -> tuple[str, ...]:
    """Remove what a killed run left: all devices whose names begin with `prefix`, those on top of others first.

    Returns their names. Raises CommandFailed for one that stays busy. Unmount what is on them first.
    """
    removed: list[str] = []
    resume_suspended(prefix)
    while left := devices(_checked(prefix)):
        name = min(left, key=lambda name: len(list((left[name] / "holders").iterdir())))
        _remove(name, timeout_s)
        removed.append(name)
    return tuple(removed)


def _remove(name: str, timeout_s: float) -> None:
    busy: list[tools.CommandFailed] = []

    def gone() -> bool:
        directory = devices(name).get(name)
        if directory is None:
            return True
        if _suspended(directory):
            _dmsetup("resume", "--nolockfs", name)
        try:
            _remove_once(name)
        except tools.CommandFailed as error:
            if "Device or resource busy" not in error.stderr:
                raise
            busy.append(error)
            return False
        return True

    if not uevents.wait_until(gone, timeout_s):
        raise busy[-1]


def _remove_once(name: str) -> None:
    if _do("remove", name, partial(control.remove, name)):
        (_NODES / name).unlink(missing_ok=True)


def _has_udev() -> bool:
    return _UDEV_SOCKET.exists()


def _do(verb: str, name: str, call: Callable[[], None], table: Table | None = None, *, by_udev: bool = True) -> bool:
    """By ioctl, logged as the dmsetup line that does the same, or by dmsetup if the kernel says no, or, `by_udev`, where
    udev has something to do. Whether it was done by ioctl."""
    words, text = (*verb.split(), name), None if table is None else f"{table}\n"
    began = time.monotonic()
    if not (by_udev and _has_udev()):
        with suppress(OSError):
            call()
            tools.note(["dmsetup", *words], time.monotonic() - began, text)
            return True
    _dmsetup(*words, input=text)
    return False


def _dmsetup(*words: str, input: str | None = None) -> tools.Completed:
    environment = {} if _has_udev() else {"DM_DISABLE_UDEV": "1"}
    return tools.run(["dmsetup", *words], COMMAND_TIMEOUT_S, input=input, environment=environment)


def _suspended(directory: Path) -> bool:
    return _read(directory / "dm" / "suspended") == "1"


def _read(attribute: Path) -> str:
    """An attribute of a device, "" if the device has gone meanwhile."""
    try:
        return attribute.read_text().strip()
    except OSError:
        return ""


def _checked(prefix: str) -> str:
    if not prefix:
        raise ValueError("an empty prefix would take every mapped device of this machine")
    return prefix

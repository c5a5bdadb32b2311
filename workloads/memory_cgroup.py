"""A memory cgroup around one worker, of version 1 or 2, so that its pages can be put under pressure and no others.

The worker's servant makes it before the file is mapped, so that what the worker touches from then on is charged there, and
removes it at the end. `leftovers` is for whoever cleans up after a servant that was killed.
Documentation/admin-guide/cgroup-v2.rst (memory.high) and cgroup-v1/memory.rst (memory.limit_in_bytes).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workloads.unsupported import Unsupported

LIMIT_BYTES = 64 << 10
"""Far below what a worker uses, so that the kernel reclaims all that it can."""
OWNER = "TORTURE_RUN"
"""The environment variable with the id of the run that a worker belongs to; its groups carry that id in their names."""
_NOBODY = "torture-00000000-000000-000000"
"""For a worker outside a run."""
_NAME = re.compile(r"(torture-\d{8}-\d{6}-[0-9a-f]{6})-(\d+)")
"""Of a group: the run, the process."""
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy with the memory controller."""

    root: Path
    limit: str
    """The file of a group that holds its limit; the kernel reclaims at once what is beyond a new one."""
    no_limit: str
    """What is written to that file to take the limit off."""
    usage: str
    """The file of a group that holds what is charged to it, in bytes."""
    version: int
    """Of the interface: 1 or 2."""


class MemoryCgroup:
    """The group of worker `pid`. Raises Unsupported where the kernel has no memory controller."""

    def __init__(self, pid: str) -> None:
        self._hierarchy = hierarchy()
        self._pid = pid
        self._group = self._hierarchy.root / f"{os.environ.get(OWNER, _NOBODY)}-{pid}"

    def join(self) -> None:
        """Make the group and put the worker in it."""
        subtree = self._hierarchy.root / "cgroup.subtree_control"
        if subtree.exists():
            subtree.write_text("+memory")
        self._group.mkdir()
        (self._group / "cgroup.procs").write_text(self._pid)

    def reclaim(self) -> str:
        """Limit the group for a moment; returns what that did, in words. EBUSY: not so much could be reclaimed."""
        limit = self._group / self._hierarchy.limit
        before = self._used()
        try:
            limit.write_text(str(LIMIT_BYTES))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        after = self._used()
        limit.write_text(self._hierarchy.no_limit)
        return f"{before >> 10} KiB were charged to the worker, {after >> 10} KiB are after reclaim"

    def starve(self) -> int:
        """Allow the group nothing (memory.max of version 2, which kills when it cannot reclaim); returns how many
        processes the kernel killed for it."""
        (self._group / "memory.max").write_text("0")
        events = (line.split() for line in (self._group / "memory.events").read_text().splitlines())
        return next(int(count) for name, count in events if name == "oom_kill")

    def step_out(self) -> None:
        """Put the process that joined back where it was; those it has forked stay."""
        (self._hierarchy.root / "cgroup.procs").write_text(self._pid)

    def leave(self) -> None:
        """Put it back and remove the group, if there is one."""
        if self._group.exists():
            with suppress(ProcessLookupError):  # it was killed: the group is empty
                self.step_out()
            with suppress(FileNotFoundError):  # somebody who cleans up was faster
                self._group.rmdir()

    def _used(self) -> int:
        return int((self._group / self._hierarchy.usage).read_text())


def hierarchy() -> Hierarchy:
    """Where the memory controller is mounted. Raises Unsupported if it is not."""
    for line in _MOUNTS.read_text().splitlines():
        place, _, source = line.partition(" - ")
        kind, _, options = source.split(" ", 2)
        root = Path(place.split()[4])
        if kind == "cgroup2" and "memory" in (root / "cgroup.controllers").read_text().split():
            return Hierarchy(root, "memory.high", "max", "memory.current", 2)
        if kind == "cgroup" and "memory" in options.split(","):
            return Hierarchy(root, "memory.limit_in_bytes", "-1", "memory.usage_in_bytes", 1)
    raise Unsupported("memory pressure", "no cgroup hierarchy with the memory controller is mounted")


def leave_inherited() -> None:
    """Take this process out of a group that it was only forked in, so that what befalls the group does not befall it."""
    paths = (line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines())
    if any(_NAME.fullmatch(Path(path).name) for path in paths):
        (hierarchy().root / "cgroup.procs").write_text(str(os.getpid()))


def leftovers() -> Iterator[tuple[Path, str]]:
    """Groups of workers that are gone, each with the id of its run; that run may go on. Only what has the whole of our
    names and belongs to this user."""
    try:
        root = hierarchy().root
    except Unsupported:
        return
    for group in root.glob("torture-*"):
        named = _NAME.fullmatch(group.name)
        if named and _has_ended(named[2]) and _is_ours(group):
            yield group, named[1]


def _has_ended(pid: str) -> bool:
    """A zombie is in no group any more, and may be one for as long as its parent likes."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _is_ours(group: Path) -> bool:
    try:
        return group.stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False  # somebody else was faster

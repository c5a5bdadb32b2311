"""Reaps what dead runs left on this machine (guests, mounts, dm devices, loop devices, scratch files) and nothing else.

Everything a run makes carries its id, and a living run holds its id (torture.lab.run_id), so that the two are told apart.
The order matters: processes first, then mounts, dm devices, loops, files.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from devicemapper import device, loop, mounts
from devicemapper.errors import BlockStackError
from torture.lab import processes
from torture.lab import run_id as runs
from torture.lab.disk import default_scratch
from verify.descriptors import opened
from workloads import memory_cgroup


@dataclass(frozen=True, slots=True)
class Reaped:
    """One line for each thing that was removed, and for each that resisted."""

    done: tuple[str, ...]
    stuck: tuple[str, ...]


def reap(scratch: Path | None, held: str = "") -> Reaped:
    """Remove what dead runs left, in `scratch` and wherever else their files lie by default.

    `held`: a run that this process goes on with; what an earlier process left of it goes too. What resists keeps nothing
    else from going.
    """

    def is_dead(run: str) -> bool:
        return run == held or not runs.is_alive(run)

    done = [f"ended process {pid} of {run}" for run, pid in _end_processes(is_dead)]
    stuck = []
    if os.geteuid() == 0:
        done += [_removed(group) for group in memory_cgroup.leftovers()]
    for home in _homes(scratch):
        if is_dead(home.name):
            try:
                done += _remove_home(home)
            except BlockStackError as error:
                stuck.append(f"{home} stays: {error}")
    return Reaped(tuple(done), tuple(stuck))


def _remove_home(home: Path) -> list[str]:
    """Of two that clean up at the same time, one waits for the other."""
    with locked(home) as there:
        if not there:
            return []
        done = take_down(home, home.name) if os.geteuid() == 0 else []
        shutil.rmtree(home, ignore_errors=True)
        return [*done, f"removed {home}"]


@contextmanager
def locked(directory: Path) -> Iterator[bool]:
    """Hold `directory` against others who do the same (flock(2)); False if it is gone by then."""
    with ExitStack() as held:
        try:
            descriptor = held.enter_context(opened(directory, os.O_RDONLY | os.O_DIRECTORY))
        except FileNotFoundError:
            yield False
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield directory.exists()


def take_down(directory: Path, device_prefix: str) -> list[str]:
    """Undo the block stacks below `directory` and the dm devices named after a run; returns a line for each thing.

    A suspended device is resumed first, or the unmount would wait for it forever. Raises BlockStackError.
    """
    device.resume_suspended(device_prefix)
    done = [f"unmounted {place}" for place in mounts.reap(directory)]
    done += [f"removed dm device {name}" for name in device.reap(device_prefix)]
    return done + [f"detached {name}" for name in loop.reap(directory)]


def _removed(group: Path) -> str:
    group.rmdir()
    return f"removed cgroup {group}"


def _end_processes(is_dead: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    own = os.environ.get(runs.ENVIRONMENT)
    for pid in list(processes.tagged(f"{runs.ENVIRONMENT}=")):
        run = processes.variable(pid, runs.ENVIRONMENT)
        if run and run != own and runs.PATTERN.fullmatch(run) and is_dead(run):
            processes.kill_tagged(f"{runs.ENVIRONMENT}={run}")
            yield run, pid


def _homes(given: Path | None) -> Iterator[Path]:
    """Directories of runs, dead or alive, that may be removed."""
    for scratch in scratches(given):
        if scratch.is_dir():
            for home in sorted(scratch.iterdir()):
                if runs.PATTERN.fullmatch(home.name) and os.access(home, os.W_OK):
                    yield home


def scratches(given: Path | None) -> list[Path]:
    """Where scratch files of dead runs may lie, each place once."""
    return list(dict.fromkeys(filter(None, (given, default_scratch(), Path("/dev/shm"), Path("/var/tmp")))))

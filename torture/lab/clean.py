"""Reaps what dead runs left on this machine: guests, mounts, dm devices, loop devices, cgroups, disks; nothing else.

Everything a run makes carries its id, and a living run holds its home (torture.lab.homes), so that the two are told apart.
The order matters: processes first, then mounts, dm devices, loops, files. Nothing that anybody else can leave in a scratch
directory is believed, and nothing that resists stops a run: it is told, and stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from devicemapper import device, loop, mounts, namespaces
from devicemapper.errors import BlockStackError
from torture.lab import homes, processes
from torture.lab import run_id as runs
from torture.lab.disk import default_scratch
from torture.lab.users import is_guest_in
from workloads import memory_cgroup


@dataclass(frozen=True, slots=True)
class Reaped:
    """One line for each thing that was removed, and for each that resisted."""

    done: tuple[str, ...]
    stuck: tuple[str, ...]


def reap(scratches: Iterable[Path], held: str = "") -> Reaped:
    """Remove what dead runs left. `scratches` are searched for their homes.

    `held`: a run that this process holds, to go on with it; what an earlier process left of it goes too.
    """
    places = list(dict.fromkeys(scratches))
    done: list[str] = []
    stuck: list[str] = []
    with ExitStack() as kept:
        left = list(_processes(held))
        opened = kept.enter_context(kept_namespaces(pid for _, pid in left))
        paths = dict.fromkeys([*_homes(places), *_homes_of(left)])
        ended = list(_end(held))
        alive = list(_processes(held)) if ended else []
        done += [f"ended process {pid} of {run}" for run, pid in ended if (run, pid) not in alive]
        stuck += [f"process {pid} of {run} stays: it was killed and does not end" for run, pid in alive]
        jobs = [(str(path), partial(_remove_home, path, held, opened)) for path in paths]
        jobs.append(("what is left of cgroups", partial(_remove_cgroups, places, held, stuck)))
        for what, job in jobs:
            try:
                done += job()
            except OSError as error:
                stuck.append(f"{what} stays: {error.strerror}")
            except (BlockStackError, homes.Held) as error:
                stuck.append(f"{what} stays: {error}")
    return Reaped(tuple(done), tuple(stuck))


def _remove_cgroups(scratches: Iterable[Path], held: str, stuck: list[str]) -> list[str]:
    """Of workers that are gone, and runs that are dead, or `held`. The kernel refuses to remove what holds a process
    (EBUSY)."""
    done = []
    for group, run in memory_cgroup.leftovers() if os.geteuid() == 0 else ():
        if run != held and any(homes.is_held(scratch / run) for scratch in scratches):
            continue
        try:
            group.rmdir()
            done.append(f"removed cgroup {group}")
        except OSError as error:
            stuck.append(f"cgroup {group} stays: {error.strerror}")
    return done


def remove_cgroups(run: str) -> None:
    """Of the workers of a run that are gone. What resists is told by `reap`."""
    with suppress(OSError):
        for group, owner in memory_cgroup.leftovers():
            if owner == run:
                group.rmdir()


def _remove_home(path: Path, held: str, opened: Iterable[int]) -> list[str]:
    """What is no home of ours, or of a living run, is left alone. Raises BlockStackError, OSError; Held if another process
    is at it and does not come to an end."""
    if path.name == held:
        return _empty_our_own(path, opened)
    with homes.to_clean(path) as home:
        if home is None:
            return []
        done = _take_down_home(home, opened)
        home.remove()
        return [*done, f"removed {path}"]


def _empty_our_own(path: Path, opened: Iterable[int]) -> list[str]:
    home = homes.open_home(path)
    if home is None:
        return []
    with home:
        done = _take_down_home(home, opened)
        home.empty()
        return done


def _take_down_home(home: homes.Home, opened: Iterable[int]) -> list[str]:
    return take_down(home.path, home.path.name, opened) if os.geteuid() == 0 else []


def take_down(directory: Path, device_prefix: str, opened: Iterable[int] = ()) -> list[str]:
    """Undo the block stacks below `directory` and the dm devices named after a run; returns a line for each thing.

    `opened`: mount namespaces, other than ours, to look into. A suspended device is resumed first, or the unmount would
    wait for it forever. Raises BlockStackError.
    """
    device.resume_suspended(device_prefix)
    unmounted = [place for each in opened for place in namespaces.within(each, lambda: mounts.reap(directory))]
    done = [f"unmounted {place}" for place in (*unmounted, *mounts.reap(directory))]
    done += [f"removed dm device {name}" for name in device.reap(device_prefix)]
    return done + [f"detached {name}" for name in loop.reap(directory)]


@contextmanager
def kept_namespaces(pids: Iterable[int]) -> Iterator[list[int]]:
    """The mount namespaces of processes of ours, kept until the context ends though the processes may end before."""
    opened: dict[int, int] = {}
    try:
        for pid in pids:
            namespace = namespaces.foreign(pid) if processes.is_ours(pid) else None
            if namespace is not None:
                number = os.fstat(namespace).st_ino
                if number in opened:
                    os.close(namespace)
                else:
                    opened[number] = namespace
        yield list(opened.values())
    finally:
        for namespace in opened.values():
            os.close(namespace)


# -- processes --------------------------------------------------------------------------------------------------------


def _processes(held: str) -> Iterator[tuple[str, int]]:
    """Processes of dead runs, and what an earlier process left of the run `held`. Each is judged by itself: anybody can
    give a process of his own the id of somebody else's run."""
    own = os.environ.get(runs.ENVIRONMENT)
    for pid in list(processes.tagged(f"{runs.ENVIRONMENT}=")):
        variables = processes.environment(pid)
        run = variables.get(runs.ENVIRONMENT, "")
        ours = run != own and runs.PATTERN.fullmatch(run) and processes.is_one_user(pid)
        if ours and (run == held or not runs.is_alive(pid, variables)):
            yield run, pid


def _end(held: str) -> Iterator[tuple[str, int]]:
    seen: dict[int, str] = {}

    def find() -> Iterator[int]:
        for run, pid in _processes(held):
            seen[pid] = run
            yield pid

    for pid in sorted(processes.kill(find)):
        yield seen[pid], pid


# -- what else they left ----------------------------------------------------------------------------------------------


def _homes(scratches: Iterable[Path]) -> Iterator[Path]:
    """By their names alone."""
    for scratch in scratches:
        try:
            paths = sorted(scratch.iterdir())
        except OSError:
            continue  # not there, or not for us: then there is nothing of ours
        yield from (path for path in paths if runs.PATTERN.fullmatch(path.name))


def _homes_of(left: Iterable[tuple[str, int]]) -> Iterator[Path]:
    """Where processes of ours say that their homes are, in whatever scratch directory."""
    for run, pid in left:
        home = Path(processes.variable(pid, runs.HOME))
        if home.name == run and (processes.is_ours(pid) or is_guest_in(pid, home)):
            yield home


def scratches(given: Path | None) -> list[Path]:
    """Where scratch files of dead runs may lie, each place once."""
    return list(dict.fromkeys(filter(None, (given, default_scratch(), Path("/dev/shm"), Path("/var/tmp")))))

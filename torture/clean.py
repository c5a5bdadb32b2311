"""Reaps what dead runs left on this machine: guests, mounts, dm devices, loop devices, scratch files; nothing else.

Everything a run makes carries its id, and a living run holds its id (torture.run_id), so that the two are told apart.
The order matters: processes first, then mounts, dm devices, loops, files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from devicemapper import device, loop, mounts
from torture import processes
from torture import run_id as runs


def reap(scratches: Iterable[Path]) -> list[str]:
    """Remove what dead runs left; returns one line for each thing removed. `scratches` are searched for their files."""
    done = [f"ended process {pid} of {run}" for run, pid in _end_processes()]
    for home in _dead_homes(scratches):
        if os.geteuid() == 0:
            done += take_down(home, home.name)
        shutil.rmtree(home, ignore_errors=True)
        done.append(f"removed {home}")
    return done


def take_down(directory: Path, device_prefix: str) -> list[str]:
    """Undo the block stacks below `directory` and the dm devices named after a run; returns a line for each thing.

    A suspended device is resumed first, or the unmount would wait for it forever.
    """
    device.resume_suspended(device_prefix)
    done = [f"unmounted {place}" for place in mounts.reap(directory)]
    done += [f"removed dm device {name}" for name in device.reap(device_prefix)]
    return done + [f"detached {name}" for name in loop.reap(directory)]


def _end_processes() -> Iterator[tuple[str, int]]:
    own = os.environ.get(runs.ENVIRONMENT)
    for pid in list(processes.marked(f"{runs.ENVIRONMENT}=")):
        run = processes.variable(pid, runs.ENVIRONMENT)
        if run and run != own and runs.PATTERN.fullmatch(run) and not runs.is_alive(run):
            processes.kill_marked(f"{runs.ENVIRONMENT}={run}")
            yield run, pid


def _dead_homes(scratches: Iterable[Path]) -> Iterator[Path]:
    for scratch in dict.fromkeys(scratches):
        if scratch.is_dir():
            for home in sorted(scratch.iterdir()):
                if runs.PATTERN.fullmatch(home.name) and not runs.is_alive(home.name) and os.access(home, os.W_OK):
                    yield home

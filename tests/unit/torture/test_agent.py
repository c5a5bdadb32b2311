"""The agent without a guest: what it says of a trial that does not go on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from torture import agent
from torture.rig.machine import Machine


class DeadTimer(Exception):
    """Stands for a sleep that never ends."""


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Both ends of a line, which do not block."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def dump(directory: Path, line: int) -> None:
    machine = Machine(Path("/dev/null"), directory, "run", device_mapper=False)
    agent.Agent(agent.Channel(line), machine, directory)._dump(directory)


def test_tasks_that_run_or_are_stuck_are_told(tmp_path: Path, ends: tuple[int, int]) -> None:
    busy = os.fork()
    if busy == 0:
        while True:
            pass
    try:
        dump(tmp_path, ends[1])
    finally:
        os.kill(busy, 9)
        os.waitpid(busy, 0)
    assert json.loads(os.read(ends[0], 100)) == {"event": "dumped"}
    told = (tmp_path / "blocked.txt").read_text()
    assert f"{busy} R " in told and f"{os.getpid()} R " not in told


def test_a_guest_whose_timers_are_dead_accuses_nobody(
    tmp_path: Path, ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: float) -> None:
        raise DeadTimer

    monkeypatch.setattr(time, "sleep", never)
    with pytest.raises(DeadTimer):
        dump(tmp_path, ends[1])
    with pytest.raises(BlockingIOError):
        os.read(ends[0], 1)
    assert not (tmp_path / "blocked.txt").exists()

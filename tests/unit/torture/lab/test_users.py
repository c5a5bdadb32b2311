"""The users that guests run as tell which guest a process is of, whatever it says of itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from torture.lab import clean, processes
from torture.lab import run_id as runs
from torture.lab.users import guest_user, is_guest_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
RUN = "torture-20200101-000000-abcdef"
Start = Callable[[int, Path], int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process of a user that says it is guest 3 of a run with that home."""
    started = []

    def begin(user: int, home: Path) -> int:
        variables = {runs.ENVIRONMENT: RUN, runs.HOME: str(home), runs.GUEST: f"{RUN}/3"}
        process = subprocess.Popen(["sleep", "600"], env=variables, user=user, group=user, extra_groups=[], cwd="/")
        started.append(process)
        return process.pid

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_a_guest_is_known_by_its_uid(start: Start, tmp_path: Path) -> None:
    home = tmp_path / RUN
    user = guest_user(home / "guest-3")
    assert user is not None
    mine = start(user, home)
    assert processes.is_user(mine, user)
    assert is_guest_in(mine, home)
    assert not is_guest_in(mine, tmp_path / "torture-20200101-000000-000000")
    assert not is_guest_in(start(65534, home), home)


@pytest.mark.parametrize("honest", [True, False])
def test_only_a_guest_leads_clean_to_the_home_of_its_run(start: Start, tmp_path: Path, honest: bool) -> None:
    """A home in a directory that was given as --scratch is found by the guests that are left, and nothing else is: one
    that was taken over could name the results of another run, which bear the same kind of name."""
    home = tmp_path / RUN
    home.mkdir()
    (home / "precious").touch()
    user = guest_user(home / "guest-3") if honest else guest_user(tmp_path / "elsewhere" / RUN / "guest-3")
    assert user is not None
    pid = start(user, home)
    assert f"ended process {pid} of {RUN}" in clean.reap([]).done
    assert (home / "precious").exists() != honest

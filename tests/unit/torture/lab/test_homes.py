"""The home of a run: who holds it, for how long, and what is no home."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from torture.errors import BadRequest, BrokenTool
from torture.lab import homes
from torture.lab.run_id import ENVIRONMENT as RUN
from torture.lab.run_id import HOME, PATTERN, Hold, environment, is_alive, new_run_id
from workloads import memory_cgroup

HOLDS = """
import sys
from pathlib import Path
from torture.lab.run_id import Hold
with Hold(sys.argv[1], Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(run: str, scratch: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """One that holds a run, started by the command `before`."""
    command = [*before, sys.executable, "-c", HOLDS, run, str(scratch)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_run_is_held_once_and_its_home_goes_with_it(tmp_path: Path) -> None:
    run = new_run_id()
    assert PATTERN.fullmatch(run)
    with Hold(run, tmp_path):
        assert homes.is_held(tmp_path / run)
        (tmp_path / run / "guest-0").mkdir()
        with pytest.raises(BadRequest, match="another process"), Hold(run, tmp_path):
            pass
    assert not (tmp_path / run).exists()


def test_the_kernel_lets_go_of_a_run_whose_process_is_killed(tmp_path: Path) -> None:
    run = new_run_id()
    with other_process(run, tmp_path) as process:
        assert homes.is_held(tmp_path / run)
        process.kill()
        process.wait()
        assert not homes.is_held(tmp_path / run)
    with Hold(run, tmp_path):
        assert homes.is_held(tmp_path / run)


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_a_run_is_alive_in_whatever_namespaces_it_is(tmp_path: Path) -> None:
    """The abstract socket that told of a run before is of one network namespace: in all others, it was cleaned up."""
    run = new_run_id()
    with other_process(run, tmp_path, "unshare", "--net", "--mount"):
        variables = {**os.environ, **environment(run, tmp_path)}
        with subprocess.Popen(["unshare", "--mount", "sleep", "60"], env=variables) as guest:
            assert is_alive(guest.pid, variables)
            guest.kill()


def test_a_process_without_a_home_that_is_held_is_of_a_dead_run(tmp_path: Path) -> None:
    run = new_run_id()
    for home in (str(tmp_path / run), "/proc/nothing", "", "/dev/null", "\n"):
        variables = {RUN: run, HOME: home}
        with subprocess.Popen(["/bin/sleep", "60"], env=variables) as process:
            assert not is_alive(process.pid, variables)
            process.kill()


def test_nobody_else_looks_into_a_home(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with Hold(run := new_run_id(), tmp_path):
            mode = (tmp_path / run).stat().st_mode
            assert mode & 0o066 == 0
            assert (tmp_path / run / homes.LOCK).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(previous)


def test_a_name_that_somebody_else_took_is_not_used(tmp_path: Path) -> None:
    run = new_run_id()
    (tmp_path / "victim").mkdir()
    (tmp_path / run).symlink_to(tmp_path / "victim")
    with pytest.raises(BrokenTool, match="is not a directory of this user"), Hold(run, tmp_path):
        pass
    assert list((tmp_path / "victim").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_no_home(tmp_path: Path) -> None:
    theirs = tmp_path / new_run_id()
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    assert homes.open_home(theirs) is None
    with pytest.raises(BrokenTool, match="is not a directory of this user"), Hold(theirs.name, tmp_path):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    run = new_run_id()
    (tmp_path / run).mkdir()
    (tmp_path / run / homes.LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BrokenTool, match="cannot lock"), Hold(run, tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_one_that_cleans_up_is_waited_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "LOCK_TIMEOUT_S", 0.2)
    path = tmp_path / new_run_id()
    path.mkdir()
    with homes.to_clean(path) as first:
        assert first is not None
        with pytest.raises(homes.Held, match="cleaning up"), homes.to_clean(path):
            pass
        first.remove()
        with homes.to_clean(path) as second:
            assert second is None


def test_a_home_is_emptied_to_any_depth_and_through_no_link(tmp_path: Path) -> None:
    run, kept = new_run_id(), tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    with Hold(run, tmp_path):
        (tmp_path / run / "link").symlink_to(kept)
        make_deep(tmp_path / run, 3000)
    assert not (tmp_path / run).exists()
    assert (kept / "file").exists()


def make_deep(path: Path, levels: int) -> None:
    """Deeper than Python recurses and than a path can be long."""
    here = os.open(path, os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_the_workers_know_the_run_by_the_same_variable() -> None:
    assert memory_cgroup.OWNER == RUN


def test_a_look_does_not_take_the_lock_away(tmp_path: Path) -> None:
    """Whoever looks holds the lock for a moment: a run that is just being resumed waits for that."""
    run = new_run_id()
    (tmp_path / run).mkdir()
    lock = os.open(tmp_path / run / homes.LOCK, os.O_RDONLY | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    with pytest.raises(BadRequest, match="another process"), Hold(run, tmp_path):
        pass
    os.close(lock)
    with Hold(run, tmp_path):
        pass

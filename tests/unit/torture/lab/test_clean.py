"""What is reaped in a directory that everybody can write to, and what is not."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devicemapper import libc, loop, mounts
from devicemapper.loop import LoopDevice
from tests.unit.torture.lab.test_homes import make_deep, other_process
from torture.lab import clean, homes, processes
from torture.lab.run_id import ENVIRONMENT, HOME, Hold, environment, new_run_id
from workloads import memory_cgroup
from workloads.unsupported import Unsupported

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
OLD = "torture-20200101-000000-abcdef"


def lines(reaped: clean.Reaped, *about: Path | str) -> list[str]:
    """Those lines that are about what the test made: other runs of this machine may be reaped as well."""
    return [line for line in (*reaped.done, *reaped.stuck) if any(str(each) in line for each in about)]


@contextmanager
def sleeping(variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process with these variables and no others."""
    with subprocess.Popen(["/bin/sleep", "60"], env=variables) as process:
        yield process
        process.kill()


def test_a_dead_home_goes_whole_and_a_living_one_stays(tmp_path: Path) -> None:
    dead, alive = tmp_path / new_run_id(), new_run_id()
    dead.mkdir()
    (dead / "disk.img").touch()
    with other_process(alive, tmp_path):
        assert lines(clean.reap([tmp_path]), dead, alive) == [f"removed {dead}"]
        assert (tmp_path / alive).is_dir() and not dead.exists()


@needs_root
def test_a_link_leads_to_nothing_that_is_ours(tmp_path: Path) -> None:
    """Anybody could have foreign filesystems unmounted, loops detached and files removed: /dev/shm/torture-... -> /srv."""
    srv, scratch = tmp_path / "srv", tmp_path / "scratch"
    (srv / "data").mkdir(parents=True)
    scratch.mkdir()
    (scratch / OLD).symlink_to(srv)
    image = srv / "image"
    image.touch()
    os.truncate(image, 1 << 20)
    with LoopDevice(image) as device, mounts.mount(Path("none"), srv / "data", "tmpfs"):
        assert lines(clean.reap([scratch]), srv, scratch) == []
        assert mounts.mounts_under(srv) == (srv / "data",)
        assert device.path in {each.path for each in loop.attached()}
    assert image.exists() and (scratch / OLD).is_symlink()


@pytest.mark.parametrize("kind", ["file", "fifo", "dangling link", "loop of links"])
def test_what_is_no_directory_stops_nothing(tmp_path: Path, kind: str) -> None:
    place = tmp_path / OLD
    match kind:
        case "file":
            place.touch()
        case "fifo":
            os.mkfifo(place)
        case "dangling link":
            place.symlink_to("nowhere")
        case _:
            place.symlink_to(place)
    assert lines(clean.reap([tmp_path, tmp_path / "none", place]), tmp_path) == []
    assert os.path.lexists(place)


def test_a_deep_tree_goes(tmp_path: Path) -> None:
    (tmp_path / OLD).mkdir()
    make_deep(tmp_path / OLD, 3000)
    assert lines(clean.reap([tmp_path]), tmp_path) == [f"removed {tmp_path / OLD}"]
    assert not (tmp_path / OLD).exists()


def test_a_lock_that_somebody_holds_hangs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "LOCK_TIMEOUT_S", 0.2)
    (tmp_path / OLD).mkdir()
    directory = os.open(tmp_path / OLD, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    other = tmp_path / new_run_id()
    other.mkdir()
    with homes.to_clean(other):
        told = lines(clean.reap([tmp_path]), tmp_path)
    os.close(directory)
    assert told == [f"removed {tmp_path / OLD}", f"{other} stays: another process holds it, cleaning up"]


@needs_root
def test_a_directory_of_another_user_stays(tmp_path: Path) -> None:
    theirs = tmp_path / OLD
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    assert lines(clean.reap([tmp_path]), tmp_path) == []
    assert theirs.is_dir()


@needs_root
def test_what_resists_is_told_and_the_rest_goes(tmp_path: Path) -> None:
    busy, free = tmp_path / OLD, tmp_path / new_run_id()
    for home in (busy, free):
        (home / "mnt").mkdir(parents=True)
    with mounts.mount(Path("none"), busy / "mnt", "tmpfs"):
        held = os.open(busy / "mnt/file", os.O_CREAT)
        reaped = clean.reap([tmp_path])
        os.close(held)
    (stuck,) = lines(clean.Reaped((), reaped.stuck), tmp_path)
    assert stuck.startswith(f"{busy} stays: umount") and "busy" in stuck
    assert lines(clean.Reaped(reaped.done, ()), tmp_path) == [f"removed {free}"]
    assert lines(clean.reap([tmp_path]), tmp_path) == [f"removed {busy}"]


@needs_root
def test_what_is_mounted_in_a_home_for_all_to_see_goes_too(tmp_path: Path) -> None:
    home = tmp_path / OLD
    (home / "mnt").mkdir(parents=True)
    libc.mount(b"none", os.fsencode(home / "mnt"), b"tmpfs", 0, b"")
    assert lines(clean.reap([tmp_path]), tmp_path) == [f"unmounted {home}/mnt", f"removed {home}"]


# -- processes --------------------------------------------------------------------------------------------------------


def test_processes_of_a_dead_run_end_and_those_of_a_living_one_go_on(tmp_path: Path) -> None:
    dead, alive = new_run_id(), new_run_id()
    with (
        other_process(alive, tmp_path),
        sleeping(environment(alive, tmp_path)) as ours,
        sleeping(environment(dead, tmp_path)) as left,
    ):
        assert lines(clean.reap([tmp_path]), dead, alive) == [f"ended process {left.pid} of {dead}"]
        assert left.wait(5) == -9 and ours.poll() is None


@needs_root
def test_a_living_run_in_another_network_namespace_goes_on(tmp_path: Path) -> None:
    """`ip netns exec` and PrivateNetwork share /dev/shm, and not the abstract sockets that told of a run before."""
    run = new_run_id()
    with other_process(run, tmp_path, "unshare", "--net"), sleeping(environment(run, tmp_path)) as guest:
        assert lines(clean.reap([tmp_path]), run) == []
        assert guest.poll() is None and (tmp_path / run).is_dir()


@needs_root
def test_a_living_run_that_another_mount_namespace_hides_goes_on(tmp_path: Path) -> None:
    """A container with a /dev/shm of its own: its processes can be seen, and its home only through them."""
    run = new_run_id()
    inside = f'mount -t tmpfs none {tmp_path} && TORTURE_RUN={run} TORTURE_HOME={tmp_path}/{run} sleep 60 & exec "$@"'
    with other_process(run, tmp_path, "unshare", "--mount", "sh", "-c", inside, "sh"):
        assert not (tmp_path / run).exists()
        guests = list(processes.tagged(f"{ENVIRONMENT}={run}"))
        assert lines(clean.reap([tmp_path]), run) == []
        assert guests and guests == list(processes.tagged(f"{ENVIRONMENT}={run}"))
    assert lines(clean.reap([tmp_path]), run) == [f"ended process {guests[0]} of {run}"]


def test_who_lies_about_a_home_harms_only_himself(tmp_path: Path) -> None:
    run = new_run_id()
    with (
        other_process(run, tmp_path),
        sleeping(environment(run, tmp_path)) as ours,
        sleeping({ENVIRONMENT: run, HOME: "/nowhere"}) as liar,
    ):
        assert lines(clean.reap([tmp_path]), run) == [f"ended process {liar.pid} of {run}"]
        assert ours.poll() is None


def test_bytes_that_are_no_text_stop_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={b"TORTURE_RUN": b"\xff\xfe", b"TORTURE_HOME": b"\xff"}) as process:
        clean.reap([tmp_path])
        assert process.poll() is None
        process.kill()


def test_a_run_that_is_gone_on_with_keeps_its_home_and_loses_what_was_left(tmp_path: Path) -> None:
    run = new_run_id()
    (tmp_path / run / "guest-0").mkdir(parents=True)
    with sleeping(environment(run, tmp_path)) as left, Hold(run, tmp_path):
        assert lines(clean.reap([tmp_path], held=run), run) == [f"ended process {left.pid} of {run}"]
        assert [path.name for path in (tmp_path / run).iterdir()] == [homes.LOCK]


# -- cgroups ----------------------------------------------------------------------------------------------------------


def memory_groups() -> Path:
    try:
        return memory_cgroup.hierarchy().root
    except Unsupported as missing:
        pytest.skip(str(missing))


@needs_root
def test_a_run_that_is_gone_on_with_loses_the_groups_of_workers_that_are_gone(tmp_path: Path) -> None:
    """They stayed until the run was over and somebody else cleaned up."""
    run, root = new_run_id(), memory_groups()
    gone, here = root / f"{run}-{2**22 + os.getpid()}", root / f"{run}-{os.getpid()}"
    for group in (gone, here):
        group.mkdir()
    try:
        with Hold(run, tmp_path):
            assert lines(clean.reap([tmp_path]), run) == []
            assert lines(clean.reap([tmp_path], held=run), run) == [f"removed cgroup {gone}"]
    finally:
        here.rmdir()


@needs_root
def test_whoever_ends_a_guest_removes_the_groups_of_its_workers(tmp_path: Path) -> None:
    """An agent that was killed left them, and the run that replaced it ended in order."""
    run, root = new_run_id(), memory_groups()
    with subprocess.Popen(["/bin/true"]) as worker:
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # a zombie, as long as nobody waits for it
        group, other = root / f"{run}-{worker.pid}", root / f"{new_run_id()}-{worker.pid}"
        for each in (group, other):
            each.mkdir()
        try:
            clean.remove_cgroups(run)
            assert not group.exists() and other.exists()
        finally:
            other.rmdir()


@needs_root
def test_a_busy_group_is_told_and_strangers_stay(tmp_path: Path) -> None:
    """A busy one named torture-* was a traceback of every run, and one named torture-my-own-service was removed."""
    root = memory_groups()
    gone = 2**22 + os.getpid()
    empty, busy, strange = (root / name for name in (f"{OLD}-{gone}", f"{OLD}-{gone + 1}", "torture-my-own-service"))
    for group in (empty, busy, strange):
        group.mkdir()
    with sleeping({}) as process:
        (busy / "cgroup.procs").write_text(str(process.pid))
        reaped = clean.reap([tmp_path])
    try:
        assert lines(reaped, OLD, strange) == [
            f"removed cgroup {empty}",
            f"cgroup {busy} stays: Device or resource busy",
        ]
        assert strange.is_dir()
    finally:
        busy.rmdir()
        strange.rmdir()


@needs_root
def test_a_hierarchy_that_cannot_be_read_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "mountinfo"
    seen.write_text(f"2 0 0:2 / {tmp_path}/hidden rw - cgroup2 cgroup2 rw\n")
    monkeypatch.setattr("workloads.memory_cgroup._MOUNTS", seen)
    (tmp_path / OLD).mkdir()
    assert lines(clean.reap([tmp_path]), OLD, "cgroups") == [
        f"removed {tmp_path / OLD}",
        "what is left of cgroups stays: No such file or directory",
    ]

"""What is left, lost or doubled is seen: each is planted once."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import aftermath
from benchmarks.aftermath import Stock
from devicemapper import mounts
from devicemapper.loop import LoopDevice
from tests.unit.torture.stories import leave, ran
from torture.campaign.run_config import RunConfig
from torture.draw.arm import Arm
from torture.draw.matrix import draw
from torture.draw.request import Request
from torture.judge import judge
from torture.lab import run_id
from torture.results.store import STORE, Store, Task, Trial
from workloads import memory_cgroup
from workloads.unsupported import Unsupported

RUN = run_id.new_run_id()
TRIALS = 3
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts, and makes groups")


# -- left -------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "_GRACE_S", 0.2)


def test_where_nothing_is_left_nothing_is_seen() -> None:
    assert aftermath.left_behind(RUN) == []


def test_a_directory_is_seen_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / f"{RUN}-disk").mkdir()
    assert aftermath.left_behind(RUN) == []
    assert aftermath.left_behind(RUN, [tmp_path]) == [f"file {tmp_path}/{RUN}-disk"]


def test_a_process_is_seen_and_what_is_in_its_session() -> None:
    """The second one has another environment, as those in a User-mode Linux have."""
    name = f"torture-seen-{os.getpid()}"  # no id of a run, or another run on this machine might clean up
    script = "env -i /bin/sleep 61 & exec /bin/sleep 60"
    environment = {**os.environ, run_id.ENVIRONMENT: name}
    with subprocess.Popen(["/bin/sh", "-c", script], env=environment, start_new_session=True) as leader:
        try:
            while Path(f"/proc/{leader.pid}/comm").read_text() != "sleep\n":  # until then it may have no environment
                assert leader.poll() is None
            assert [each.pid for each in aftermath.guests(name)] == [leader.pid]
            left = aftermath.left_behind(name)
            assert sorted(line.partition(": ")[2] for line in left) == ["/bin/sleep 60", "/bin/sleep 61"]
        finally:
            for process in aftermath.processes_of(name):
                assert process.strike()
    assert aftermath.left_behind(name) == []


def test_a_process_that_was_of_a_run_is_seen_though_nothing_says_so() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        (known,) = aftermath.processes_of(RUN, process.pid)
        assert aftermath.outlived([known]) == [f"process {process.pid}: /bin/sleep 60"]
        assert aftermath.left_behind(RUN, known=[known]) == [f"process {process.pid}: /bin/sleep 60"]
        assert replace(known, started=known.started - 1).strike() is False, "that was another process"
        assert known.strike() is True
    assert aftermath.outlived([known]) == []


@needs_root
def test_a_mount_and_a_loop_device_are_seen(tmp_path: Path) -> None:
    home = tmp_path / RUN
    home.mkdir()
    image = home / "disk.img"
    image.write_bytes(bytes(1 << 20))
    with mounts.mount(Path("none"), home, "tmpfs", ("size=4m",)):
        (line,) = aftermath.left_behind(RUN)
        assert line.startswith("mount ") and str(home) in line
    with LoopDevice(image):
        assert aftermath.left_behind(RUN) == [f"loop device {image}"]


@needs_root
def test_a_group_is_seen() -> None:
    try:
        group = memory_cgroup.hierarchy().root / f"{RUN}-1"
    except Unsupported as missing:
        pytest.skip(str(missing))
    group.mkdir()
    try:
        assert aftermath.left_behind(RUN) == [f"cgroup {group}"]
    finally:
        group.rmdir()


# -- lost and doubled -------------------------------------------------------------------------------------------------


def task(number: int) -> Task:
    drawn = draw(config().request)[number - 1]
    return Task(number, drawn.arm, drawn.plan, "packaged")


def config() -> RunConfig:
    request = Request({"filesystem": ("ext4",), "layout": ("hole",)}, count=TRIALS, control=False, canary=False)
    return RunConfig(request.having(fault=("none",)), Path("/results"), Path("/dev/shm"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A finished run of TRIALS trials."""
    with Store(tmp_path, create=True) as store:
        store.describe(config=config().to_dict())
        for number in range(1, TRIALS + 1):
            add(store, tmp_path, task(number))
    yield tmp_path


def add(store: Store, directory: Path, given: Task) -> None:
    left = directory / aftermath.TRIALS / given.directory_name
    left.mkdir(parents=True)
    leave(left, given.plan, record=ran())
    store.schedule(given)
    store.add(Trial(given.number, given.arm, given.plan, judge(given.plan, left), {}, 1.0, "6.1", (), given.kernel))


def change(run: Path, *statements: str) -> None:
    with sqlite3.connect(run / STORE) as store:
        for statement in statements:
            store.execute(statement)
    store.close()


def wrong(run: Path, before: Stock) -> list[str]:
    after = aftermath.stock(run)
    return [*aftermath.losses(before, run, after), *aftermath.unfulfilled(run, after)]


def test_a_run_that_is_whole_has_lost_nothing(run: Path) -> None:
    assert wrong(run, aftermath.stock(run)) == []


def test_a_lost_result_is_seen(run: Path) -> None:
    before = aftermath.stock(run)
    change(run, "DELETE FROM result WHERE number = 2")
    assert wrong(run, before) == ["lost: trial 2, which was pass", "lost: trials [2] have no result"]


def test_another_verdict_is_seen(run: Path) -> None:
    before = aftermath.stock(run)
    change(run, "UPDATE result SET outcome = 'unknown' WHERE number = 2")
    first, second = wrong(run, before)
    assert first.startswith("lost: trial 2 was Verdict(") and second.startswith("lost: evidence of trial 2: ")


def test_a_lost_task_is_seen(run: Path) -> None:
    before = aftermath.stock(run)
    change(run, "DELETE FROM result WHERE number = 2", "DELETE FROM task WHERE number = 2")
    assert wrong(run, before) == [
        "lost: trial 2, which was pass",
        "lost: tasks [2], which were handed out",
        "lost: trials are numbered [1, 3]",
        "left: directories that belong to no trial: ['00002']",
        f"lost: 2 trials, which are not the {TRIALS} that were drawn",
    ]


def test_a_canary_instead_of_one_that_the_kernel_cannot_plant_is_none_too_many(run: Path) -> None:
    before = aftermath.stock(run)
    with Store(run, resume=True) as store:
        add(store, run, replace(task(1), number=TRIALS + 5, arm=Arm.canary, plan=replace(task(1).plan, seed=99)))
    assert wrong(run, before) == []


def test_a_trial_that_was_run_twice_is_seen(run: Path) -> None:
    before, again = aftermath.stock(run), replace(task(2), number=TRIALS + 1)
    with Store(run, resume=True) as store:
        add(store, run, again)
    assert wrong(run, before) == [
        f"doubled: plan {again.plan.identity} was run 2 times",
        f"lost: {TRIALS + 1} trials, which are not the {TRIALS} that were drawn",
    ]


def test_evidence_that_is_gone_or_was_written_again_is_seen(run: Path) -> None:
    before = aftermath.stock(run)
    shutil.rmtree(run / aftermath.TRIALS / "00001")
    os.utime(run / aftermath.TRIALS / "00002/ledger.jsonl", ns=(1, 1))
    first, second, third = wrong(run, before)
    assert first.startswith("lost: files of trial 1: ") and second.startswith("lost: files of trial 2: [('ledger.jsonl', ")
    assert third == "lost: the directory of trial 1"


def test_what_does_not_belong_to_the_results_is_seen(run: Path) -> None:
    before = aftermath.stock(run)
    (run / "ballast").touch()
    (run / "findings/half").mkdir(parents=True)
    assert wrong(run, before) == [
        "left: a finding of which only a part was kept: half",
        "left: ['ballast'] among the results",
    ]


def test_a_store_that_a_kill_left_half_made_holds_nothing_to_go_on_with(tmp_path: Path) -> None:
    assert aftermath.stock(tmp_path) == Stock({}, (), None)
    (tmp_path / STORE).touch()
    assert aftermath.stock(tmp_path) == Stock({}, (), None)
    Store(tmp_path / ".", create=True).close()
    assert aftermath.stock(tmp_path) == Stock({}, (), None)


def test_the_store_is_looked_at_as_the_kill_left_it(run: Path) -> None:
    """Whoever opens a store that was not closed takes its log in."""
    with Store(run, resume=True) as store:
        store.describe(more="facts")
        there = {path.name: path.read_bytes() for path in run.glob(f"{STORE}*")}
        assert len(aftermath.stock(run).kept) == TRIALS
        assert {path.name: path.read_bytes() for path in run.glob(f"{STORE}*")} == there

"""Guests that die, hang or never boot, and a run that is killed: bounded in time, told apart, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import aftermath
from tests.guest.command_line import TORTURE
from torture.campaign.runner import Runner
from torture.campaign.schedule import FixedList
from torture.draw.matrix import Drawn, draw
from torture.draw.request import Request
from torture.lab import connection, processes, run_id
from torture.lab.base import GuestLost
from torture.lab.guest_lab import OUTBOX
from torture.lab.uml import UmlLab
from torture.results.store import Store, Trial
from verify.ledger_file import read_ledger
from verify.outcome import Outcome

pytestmark = pytest.mark.guest

SCRATCH = Path("/dev/shm")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[UmlLab]:
    """A lab whose guests are all gone at the end."""
    name = run_id.new_run_id()
    (tmp_path / "trials").mkdir()
    with run_id.Hold(name, SCRATCH):  # or another run on this machine would clean it up
        yield UmlLab(name, tmp_path, SCRATCH)
        assert list(processes.tagged(f"{run_id.ENVIRONMENT}={name}")) == []
        assert not any((SCRATCH / name).glob("guest-*"))
    assert not (SCRATCH / name).exists()


def plans(count: int) -> list[Drawn]:
    request = Request({"filesystem": ("ext4",), "layout": ("hole",)}, count=count, canary=False, control=False)
    return draw(request)[:count]


def carry_out(lab: UmlLab, drawn: list[Drawn]) -> list[Trial]:
    store = Store(lab.results, create=True)
    Runner({"uml": lab}, FixedList(drawn, "uml"), lab.results, 1).run(store)
    trials = list(store.trials())
    store.close()
    return trials


def guest_processes(lab: UmlLab) -> list[int]:
    return list(processes.tagged(f"{run_id.ENVIRONMENT}={lab.run_id}"))


def when_a_trial_runs(lab: UmlLab, act: Callable[[], None]) -> threading.Thread:
    """Calls `act` once the first trial has begun its ledger."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        ledger = SCRATCH / lab.run_id / "guest-0" / OUTBOX / "00001/ledger.jsonl"
        while time.monotonic() < deadline and not (ledger.exists() and ledger.stat().st_size):
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_guest_that_dies_costs_its_trial_and_is_replaced(lab: UmlLab) -> None:
    def kill_all() -> None:
        for pid in guest_processes(lab):
            os.kill(pid, signal.SIGKILL)

    watcher = when_a_trial_runs(lab, kill_all)
    first, second = carry_out(lab, plans(2))
    watcher.join()
    assert (first.verdict.outcome, second.verdict.outcome) == (Outcome.unknown, Outcome.passed)
    assert "the guest died" in first.verdict.reason
    left = [type(record).__name__ for record in read_ledger(lab.results / "trials/00001/ledger.jsonl")]
    assert left[0] == "Begin", "what the guest wrote before it died is on the host"
    assert (lab.results / "console-0.log").stat().st_size > 0


def test_a_guest_that_hangs_is_given_up_in_bounded_time(lab: UmlLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PHASE_TIMEOUT_S", 8.0)
    monkeypatch.setattr(connection, "_DUMP_TIMEOUT_S", 2.0)

    def stop_all() -> None:
        for pid in guest_processes(lab):
            os.kill(pid, signal.SIGSTOP)

    def stop_all_on_one_core() -> None:
        seen.update(*(os.sched_getaffinity(pid) for pid in guest_processes(lab)))
        stop_all()

    seen: set[int] = set()
    watcher = when_a_trial_runs(lab, stop_all_on_one_core)
    first, second = carry_out(lab, plans(2))
    watcher.join()
    assert (first.verdict.outcome, second.verdict.outcome) == (Outcome.unknown, Outcome.passed)
    assert "no answer for 8 s" in first.verdict.reason
    assert len(seen) == 1, "a guest stays on one core (torture.lab.cores)"
    view = (lab.results / "trials" / first.directory_name / connection.HOST_VIEW).read_text()
    assert ") T " in view and "wchan: " in view, "stopped processes, as the host sees them"


def test_a_guest_that_never_boots_is_an_error_with_its_console(lab: UmlLab) -> None:
    broken = replace(lab, kernel_arguments=("init=/nonexistent",))
    with pytest.raises(GuestLost) as caught:
        broken.boot(0)
    assert "the guest died in phase boot" in str(caught.value)
    assert b"Kernel panic" in caught.value.console.read_bytes()


def start_run(tmp_path: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [str(TORTURE), "run", "--seed", "1", "--results", str(tmp_path), "--count", "20", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_an_interrupt_finishes_the_trial_and_reports(tmp_path: Path) -> None:
    running = start_run(tmp_path, "--fs", "ext4")
    time.sleep(8)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"Outcome:" in output


def test_clean_leaves_a_living_run_alone(tmp_path: Path) -> None:
    running = start_run(tmp_path, "--fs", "ext4")
    assert running.stdout is not None
    run = running.stdout.readline().decode().split("results in ")[1].strip().rpartition("/")[2]
    time.sleep(4)
    subprocess.run([TORTURE, "clean"], check=True, capture_output=True)
    assert aftermath.what_is_there(run) != []
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert aftermath.left_behind(run) == []


@pytest.mark.parametrize("victims", ["helpers", "stubs"])
def test_a_guest_whose_processes_somebody_ends_is_lost_and_no_filesystem_is_accused(lab: UmlLab, victims: str) -> None:
    """The guest waited for them for ever, which was a `hang`, a finding, two minutes later."""

    def end() -> None:
        (leader,) = {os.getsid(pid) for pid in guest_processes(lab)}
        helpers = processes.untraced(leader)
        for pid in helpers if victims == "helpers" else set(guest_processes(lab)) - helpers - {leader}:
            os.kill(pid, signal.SIGKILL)

    watcher = when_a_trial_runs(lab, end)
    first, second = carry_out(lab, plans(2))
    watcher.join()
    assert (first.verdict.outcome, second.verdict.outcome) == (Outcome.unknown, Outcome.passed)
    assert "ended from outside" in first.verdict.reason or "the guest died" in first.verdict.reason

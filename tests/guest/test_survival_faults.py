"""Whatever fault had struck when the tool was killed, `torture clean` leaves nothing behind."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from pathlib import Path

import pytest

from benchmarks.aftermath import left_behind
from tests.guest.command_line import TORTURE
from torture.faults import FAULTS
from torture.lab.disk import default_scratch
from torture.lab.guest_lab import OUTBOX

pytestmark = pytest.mark.guest
AT_A_TIME = 4
LATEST_S = 1.5
"""A trial takes about so long once its ledger is there; the kill comes at any time within."""
BEGINS_WITHIN_S = 40.0
NAMES = list(FAULTS)
if (
    "TORTURE_LONG_TESTS" not in os.environ
):  # the first of each folder of faults; `python -m benchmarks.kills` draws from all
    NAMES = list({fault.__module__.split(".")[2]: name for name, fault in reversed(FAULTS.items())}.values())


def start(results: Path, fault: str) -> tuple[subprocess.Popen[bytes], str]:
    """A run of one fault, over and over, and its run id."""
    options = ["--fs", "ext4", "--layout", "written", "--fault", fault, "--count", "50", "--jobs", "1", "--no-control"]
    command = [str(TORTURE), "run", "--seed", "1", "--results", str(results), *options]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert running.stdout is not None
    return running, running.stdout.readline().decode().split("results in ")[1].strip().rpartition("/")[2]


def kill_in_a_trial(running: subprocess.Popen[bytes], trials: Path, after_s: float) -> None:
    """SIGKILL `after_s` after the first trial that is no canary has begun, or, where it is `notrun`, the next."""
    deadline = time.monotonic() + BEGINS_WITHIN_S
    home = default_scratch() / trials.parent.name / "guest-0"
    begun = (home / OUTBOX / "00002/ledger.jsonl", trials / "00003")
    while not any(path.exists() for path in begun) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(after_s)
    running.kill()
    running.wait()


@pytest.mark.parametrize("first", range(0, len(NAMES), AT_A_TIME), ids=lambda first: "+".join(NAMES[first:][:AT_A_TIME]))
def test_after_sigkill_under_any_fault_clean_leaves_nothing(tmp_path: Path, first: int) -> None:
    chance = random.Random(f"survival {first}")
    runs = [start(tmp_path, fault) for fault in NAMES[first : first + AT_A_TIME]]
    kills = [
        threading.Thread(target=kill_in_a_trial, args=(running, tmp_path / run / "trials", chance.uniform(0, LATEST_S)))
        for running, run in runs
    ]
    for kill in kills:
        kill.start()
    for kill in kills:
        kill.join()
    cleaned = subprocess.run([TORTURE, "clean"], capture_output=True, text=True, check=False)
    assert cleaned.returncode == 0, cleaned.stderr
    assert [left for _, run in runs for left in left_behind(run)] == []
    begun = [run for _, run in runs if (tmp_path / run / "trials/00002").exists()]
    assert len(begun) == len(runs), f"no trial was under way in {[run for _, run in runs if run not in begun]}"

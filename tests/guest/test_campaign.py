"""A campaign that is killed again and again, and whose results disk fills up, still counts every trial once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import TORTURE

from torture import processes, run_id
from torture.store import Store

pytestmark = pytest.mark.guest

TRIALS = 24
KILLS = int(os.environ.get("TORTURE_CHAOS_KILLS", "8"))
"""How often something is killed; CONTRIBUTING.md has the long run."""

CAMPAIGN = f"""
seed = 11
jobs = 2
[budget]
trials = {TRIALS}
[include]
fs = ["ext4", "ext2"]
layout = ["hole", "written"]
"""


def start(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen([TORTURE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_processes(run: str) -> list[int]:
    return list(processes.marked(f"{run_id.ENVIRONMENT}={run}"))


def test_chaos_loses_nothing_but_what_was_in_flight(tmp_path: Path) -> None:
    choose = random.Random(1)
    file, results = tmp_path / "chaos.toml", tmp_path / "results"
    file.write_text(CAMPAIGN)
    running = start("campaign", file, "--results", results)
    assert running.stdout is not None
    run = running.stdout.readline().split("results in ")[1].strip().rpartition("/")[2]
    guests_killed = 0
    for _ in range(KILLS):
        time.sleep(choose.uniform(1.0, 6.0))
        guests = run_processes(run)
        if choose.random() < 0.5 and guests:
            os.kill(choose.choice(guests), signal.SIGKILL)
            guests_killed += 1
        else:
            running.kill()
            running.communicate()
            running = start("resume", run, "--results", results)
    _, errors = running.communicate(timeout=300)
    last = start("resume", run, "--results", results, "--json")
    output, _ = last.communicate(timeout=300)
    document = json.loads(output)
    assert [trial["number"] for trial in document["trials"]] == list(range(1, TRIALS + 1)), errors
    outcomes = [trial["outcome"] for trial in document["trials"]]
    assert set(outcomes) <= {"pass", "late", "unknown"}, "whoever is killed, no filesystem is accused"
    assert outcomes.count("unknown") <= guests_killed
    store = Store(results / run)
    assert list(store.tasks(unfinished=True)) == []
    assert run_processes(run) == [] and not list(Path("/dev/shm").glob(f"{run}*"))


@pytest.mark.root
def test_a_full_results_disk_stops_the_campaign_and_freeing_it_lets_it_go_on(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small results disk needs root")
    results = tmp_path / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "small", results], check=True)
    try:
        file = tmp_path / "full.toml"
        file.write_text(CAMPAIGN.replace(f"trials = {TRIALS}", "trials = 8"))
        running = start("campaign", file, "--results", results)
        assert running.stdout is not None
        run = running.stdout.readline().split("results in ")[1].strip().rpartition("/")[2]
        ballast = results / "ballast"
        ballast.write_bytes(bytes(30 << 20))
        _, errors = running.communicate(timeout=120)
        assert running.returncode == 1 and "free some space" in errors and "Traceback" not in errors
        ballast.unlink()
        output, _ = start("resume", run, "--results", results, "--json").communicate(timeout=200)
        assert len(json.loads(output)["trials"]) == 8
    finally:
        subprocess.run(["umount", results], check=True)


def test_a_run_is_not_resumed_twice_at_once_but_another_may_run(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(CAMPAIGN)
    first = start("campaign", file, "--results", tmp_path)
    assert first.stdout is not None
    run = first.stdout.readline().split("results in ")[1].strip().rpartition("/")[2]
    time.sleep(3)
    again = subprocess.run([TORTURE, "resume", run, "--results", tmp_path], capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "another process" in again.stderr
    other = subprocess.run(
        [TORTURE, "run", "--fs", "ext4", "--layout", "hole", "--fault", "none", "--results", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 0, other.stderr
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130

"""A campaign that is killed again and again, and whose results disk fills up, still counts every trial once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import aftermath
from tests.guest.command_line import TORTURE

pytestmark = pytest.mark.guest

KILLS = int(os.environ.get("TORTURE_CHAOS_KILLS", "6"))
"""How often something is killed, or the disk filled. The long run: TORTURE_CHAOS_KILLS=50, about ten minutes."""
TRIALS = 6 * KILLS + 24
"""More than can be run while it is attacked, or there would be nothing to kill."""
PAUSE_S = (1.0, 5.0)

CAMPAIGN = f"""
seed = 11
jobs = 2
[budget]
trials = {TRIALS}
[include]
fs = ["ext4", "xfs"]
layout = ["hole", "written"]
disturbance = ["none"]
fault = ["none", "enospc", "power-cut"]
"""


def start(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen([TORTURE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Chaos:
    """A campaign under attack: what is killed is drawn, and a campaign that is down is resumed."""

    def __init__(self, file: Path, results: Path) -> None:
        self.results = results
        self.running = start("campaign", file, "--results", results)
        assert self.running.stdout is not None
        self.run = self.running.stdout.readline().split("results in ")[1].strip().rpartition("/")[2]
        self.guests_killed = self.orchestrators_killed = self.disks_filled = 0

    def resume(self) -> None:
        self.running = start("resume", self.run, "--results", self.results)

    def kill_orchestrator(self) -> None:
        self.running.kill()
        self.running.communicate()
        self.orchestrators_killed += 1
        self.resume()

    def kill_in_guest(self, choose: random.Random) -> None:
        """A guest's kernel, or one of its processes: agent, trial, worker, or a command."""
        find = choose.choice((aftermath.guests, aftermath.processes_of))
        while not (victims := find(self.run)) and self.running.poll() is None:
            time.sleep(0.1)
        self.guests_killed += any(each.strike() for each in choose.sample(sorted(victims, key=str), min(1, len(victims))))

    def fill_disk(self) -> None:
        """Until the campaign gives up by itself; then there is room again."""
        ballast = self.results / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(self.results).free - (8 << 20)))
        _, errors = self.running.communicate(timeout=180)
        assert "Traceback" not in errors and "free some space" in errors
        ballast.unlink()
        self.disks_filled += 1
        self.resume()


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Path]:
    """A results directory; for root on a small disk of its own."""
    directory = tmp_path / "results"
    directory.mkdir()
    if os.geteuid() != 0:
        yield directory
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "small", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def test_chaos_loses_nothing_but_what_was_in_flight(tmp_path: Path, results: Path) -> None:
    choose = random.Random(1)
    file = tmp_path / "chaos.toml"
    file.write_text(CAMPAIGN)
    chaos = Chaos(file, results)
    for number in range(KILLS):
        time.sleep(choose.uniform(*PAUSE_S))
        assert chaos.running.poll() is None, "the campaign ended before it was attacked often enough"
        if number % 10 == 4 and results.is_mount():
            chaos.fill_disk()
        elif number % 2:
            chaos.kill_in_guest(choose)
        else:
            chaos.kill_orchestrator()
    _, errors = chaos.running.communicate(timeout=600)
    output, _ = start("resume", chaos.run, "--results", results, "--json").communicate(timeout=300)
    document = json.loads(output)
    assert [trial["number"] for trial in document["trials"]] == list(range(1, TRIALS + 1)), errors
    outcomes = [trial["outcome"] for trial in document["trials"]]
    reasons = [trial["reason"] for trial in document["trials"] if trial["outcome"] != "pass"]
    assert set(outcomes) <= {"pass", "unknown"}, f"whoever is killed, no filesystem is accused: {reasons}"
    assert outcomes.count("unknown") <= chaos.guests_killed, reasons
    assert chaos.orchestrators_killed > 0 and chaos.guests_killed > 0
    assert list(aftermath.unfulfilled(results / chaos.run, aftermath.stock(results / chaos.run))) == []
    assert aftermath.left_behind(chaos.run) == []


def test_results_that_go_away_end_the_campaign_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(CAMPAIGN)
    campaign = start("campaign", file, "--results", tmp_path)
    assert campaign.stdout is not None
    run = campaign.stdout.readline().split("results in ")[1].strip().rpartition("/")[2]
    time.sleep(5)
    (tmp_path / run).rename(tmp_path / "elsewhere")
    _, errors = campaign.communicate(timeout=120)
    assert campaign.returncode == 1 and errors.count("is gone") == 1 and "Traceback" not in errors, errors
    assert aftermath.left_behind(run) == []


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

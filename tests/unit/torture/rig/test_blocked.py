"""Only a process that the kernel holds is called hung."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from torture.rig import blocked


def test_a_process_that_runs_or_sleeps_is_not_blocked() -> None:
    assert not blocked.is_blocked(os.getpid())
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        assert not blocked.is_blocked(sleeper.pid)
        assert "State:" in blocked.where_blocked(sleeper.pid)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert not blocked.is_blocked(sleeper.pid)


def test_a_vfork_parent_is_blocked_until_its_child_is_gone(tmp_path: Path) -> None:
    """A parent in vfork(2) sleeps in state D: a real one, without a broken filesystem."""
    source = tmp_path / "parent.c"
    source.write_text("#include <unistd.h>\nint main(void) { if (vfork() == 0) { sleep(20); _exit(0); } return 0; }\n")
    subprocess.run(["gcc", "-o", tmp_path / "parent", source], check=True)
    parent = subprocess.Popen([tmp_path / "parent"], start_new_session=True)
    try:
        deadline = time.monotonic() + 10
        while not (seen := blocked.is_blocked(parent.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert seen
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


def test_a_process_or_child_that_works_on_and_on_is_trying_and_one_that_waits_is_not() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    worker = subprocess.Popen(["sh", "-c", "sh -c 'while :; do :; done' & wait"], start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while not (seen := blocked.is_trying(worker.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert seen and not blocked.is_trying(sleeper.pid)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        sleeper.kill()
        worker.wait()
        sleeper.wait()
    assert not blocked.is_trying(sleeper.pid)

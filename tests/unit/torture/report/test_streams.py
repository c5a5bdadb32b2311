"""Nothing that is said about a run may end it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SAY = """
import os, sys
from torture.report import streams
streams.prepare()
assert os.open("/dev/null", os.O_RDONLY) > 2, "a file got the number of a standard stream"
import click
from torture.campaign.progress import Progress
with Progress(3, [], sys.stderr):
    for number in range(3):
        click.echo("progress " * 10000, err=True)
        print("ü", file=sys.stderr)
open(sys.argv[1], "w").write("done")
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_and_full_streams_end_nothing(closed: str, tmp_path: Path) -> None:
    """`torture run 2>&-` ended in a traceback that nobody saw."""
    done = tmp_path / "done"
    subprocess.run(["sh", "-c", f'exec {closed}; exec "$@"', "sh", sys.executable, "-c", _SAY, str(done)], check=True)
    assert done.exists()


def test_a_pipe_that_is_read_no_further_ends_nothing(tmp_path: Path) -> None:
    done = tmp_path / "done"
    with subprocess.Popen([sys.executable, "-c", _SAY, str(done)], stderr=subprocess.PIPE) as running:
        assert running.stderr
        running.stderr.close()
    assert running.returncode == 0
    assert done.exists()


def test_what_is_heard_is_said() -> None:
    said = subprocess.run([sys.executable, "-c", _SAY, "/dev/null"], capture_output=True, check=True).stderr.decode()
    assert said.count("progress ") == 30000
    assert said.count("ü") == 3

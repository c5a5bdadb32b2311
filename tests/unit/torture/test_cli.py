"""Wrong inputs give one clear sentence and the right exit code, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(sys.executable).with_name("torture")


def torture(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TORTURE, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run --fs zfs", "allowed are"),
        ("run --pin glue", "allowed are"),
        ("run --layout flat", "allowed are"),
        ("run --fault meteor", "known are"),
        ("run --fault enospc:free_blocks=-1", "allowed are whole numbers"),
        ("run --pages 0", "allowed is 1 to"),
        ("run --count 0", "allowed is 1 to"),
        ("run --jobs 0", "not in the range"),
        ("run --lab moon", "is not one of"),
        ("run --kernel /nonexistent", "no such file"),
        ("run --kernel /bin/ls", "is not a User-mode Linux kernel"),
        ("run --kernel /etc/passwd", "is not a User-mode Linux kernel"),
        ("run --lab local --kernel /bin/ls", "leave them out"),
        ("run --destroy /dev/null", "not a block device"),
        ("run --seed x", "not a valid integer"),
        ("run --plan pyproject.toml --count 2", "a plan is run as it is"),
        ("run --bogus", "No such option"),
        ("show nowhere", "there is no run"),
        ("verify nowhere", "there is no run"),
        ("fly", "No such command"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_exit_2(words: str, said: str) -> None:
    done = torture(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_results_that_cannot_be_written_are_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = torture("run", "--results", str(tmp_path / "file"))
    assert done.returncode == 1
    assert "cannot write to" in done.stderr and done.stderr.count("\n") == 1


def test_help_names_every_exit_code() -> None:
    text = torture("--help").stdout
    for code in ("0 pass", "1 the tool", "2 usage", "3 fail", "4 nothing", "5 unknown", "6 late", "130 interrupted"):
        assert code in " ".join(text.split())

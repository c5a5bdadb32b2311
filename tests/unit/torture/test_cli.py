"""Wrong inputs give one clear sentence and the right exit code, never a traceback."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from torture import cli
from torture.report import streams

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
        (f"run --fault enospc:free_blocks={'9' * 5000}", "the form is NAME:KEY=NUMBER"),
        ("run --fault enospc:free_blocks=\u00b2", "the form is NAME:KEY=NUMBER"),
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


def test_what_nobody_expected_is_a_line_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last resort, for what no decoder refused."""

    def surprised(*_: object, **__: object) -> None:
        raise RecursionError("so\x1b[31m\ndeep" + "!" * 1000)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cli.cli, "main", surprised)
    monkeypatch.setattr(streams, "prepare", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    (left,) = tmp_path.iterdir()
    assert ended.value.code == 1
    assert said.count("\n") == 1 and "\x1b" not in said and len(said) < 500 and str(left) in said
    assert left.stat().st_mode & 0o777 == 0o600 and "in surprised" in left.read_text()


def test_without_room_for_the_file_the_line_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert cli._bug(ValueError("odd")) == 1
    assert "ValueError: odd; the traceback: not written:" in capsys.readouterr().err


def test_help_names_every_exit_code() -> None:
    text = torture("--help").stdout
    for code in ("0 pass", "1 the tool", "2 usage", "3 fail", "4 nothing", "5 unknown", "6 late", "130 interrupted"):
        assert code in " ".join(text.split())

"""What was read from a store, finding or log is shown on the terminal, and does not steer it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import torture
from tests.unit.torture import stories
from torture.campaign.recorded import stored
from torture.campaign.run_config import RunConfig
from torture.cli import main
from torture.draw.arm import Arm
from torture.draw.request import Request
from torture.judge import Verdict
from torture.report import campaign, summary
from torture.report.terminal import echo
from torture.results.known import Known
from torture.results.store import Store, Task, Trial
from verify.outcome import Outcome

ATTACK = "\x1b[2J\x1b]0;owned\x07\rOutcome: pass\nOutcome: pass - every accepted store was there \N{RIGHT-TO-LEFT OVERRIDE}"
ESCAPED = r"\x1b[2J\x1b]0;owned\x07\rOutcome: pass"


def _run(results: Path) -> Path:
    """A run of which a stranger wrote every text."""
    run = results / "torture-1"
    run.mkdir(parents=True)
    plan, finding = (
        stories.plan(),
        stories.finding(expected=ATTACK, found=ATTACK, reported=ATTACK, name=ATTACK, layout=ATTACK),
    )
    verdict = Verdict(Outcome.failed, ATTACK, (finding,))
    with Store(run, create=True) as store:
        config = RunConfig(request=Request(), results=results, scratch=results)
        store.describe(run=ATTACK, config=config.to_dict(), seed=1, labs={ATTACK: {"lab": "uml", "kernel_path": "x"}})
        for number, judged in enumerate((verdict, Verdict(Outcome.unknown, ATTACK, ())), 1):
            store.schedule(Task(number, Arm.pinned, plan, ATTACK))
            store.add(Trial(number, Arm.pinned, plan, judged, {"work": 1.0}, 1.0, ATTACK, (ATTACK,), ATTACK))
    return run


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints."""

    def run(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["torture", *map(str, words)])
        monkeypatch.setattr(sys, "stderr", sys.stderr)  # main() makes it another
        with pytest.raises(SystemExit):
            main()
        return "".join(capfd.readouterr())

    return run


@pytest.mark.parametrize(
    "words", [("show",), ("show", "--trial", 1), ("show", "--trial", 2), ("show", "--json"), ("verify",)]
)
def test_a_store_does_not_steer_the_terminal(tmp_path: Path, said: Callable[..., str], words: tuple[object, ...]) -> None:
    printed = said(words[0], _run(tmp_path), *words[1:], "--results", tmp_path)
    assert all(line.isprintable() for line in printed.split("\n")) and printed


def test_no_text_makes_a_line_of_a_report(tmp_path: Path) -> None:
    trials, facts = stored(_run(tmp_path))
    known = (Known(ATTACK, ATTACK, "9999-01-01", kind=("lost",)),)
    for text in (
        summary.render(trials),
        summary.render(trials, known, date.min),
        campaign.render(trials, facts, (), date.min),
        campaign.render(trials, facts, known, date.min),
    ):
        (line,) = (line for line in text.split("\n") if line.startswith("Outcome"))
        assert "Outcome: pass" not in line


@pytest.mark.parametrize("trial", [1, 2])
def test_what_a_trial_says_is_no_line_of_its_report(tmp_path: Path, said: Callable[..., str], trial: int) -> None:
    printed = said("show", _run(tmp_path), "--trial", trial)
    assert ESCAPED in printed
    assert not any(line.strip().startswith("Outcome") for line in printed.split("\n"))


def test_an_error_does_not_steer_the_terminal(said: Callable[..., str]) -> None:
    for words in (("show", ATTACK), (ATTACK,), ("run", "--fs", ATTACK), ("run", f"--{ATTACK}"), ("replay", ATTACK)):
        printed = said(*words)
        assert printed.startswith("torture: ") and all(line.isprintable() for line in printed.split("\n")), printed


@given(st.text())
def test_whatever_is_said(text: str) -> None:
    @click.command()
    def say() -> None:
        echo(text)

    said = CliRunner().invoke(say, catch_exceptions=False).output
    assert all(line.isprintable() for line in said.replace("\t", "").split("\n"))


def test_a_terminal_that_lacks_a_character_gets_its_escape() -> None:
    program = "from torture.report.terminal import echo; echo('5 \\u20ac \\x1b')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={"PYTHONIOENCODING": "ascii"}, check=True
    )
    assert done.stdout == rb"5 \u20ac \x1b" + b"\n"


_MAY_PRINT = ("report/terminal.py", "lab/sandbox.py")
"""The latter is a program of its own in front of a guest, whose stderr is a file."""
_PRINTERS = ("click.echo", "click.secho", "print", "sys.stdout.write", "sys.stderr.write")


def test_all_that_is_printed_goes_one_way() -> None:
    home = Path(torture.__path__[0])
    elsewhere = [
        f"{path.relative_to(home)}:{node.lineno}"
        for path in sorted(home.rglob("*.py"))
        if str(path.relative_to(home)) not in _MAY_PRINT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _PRINTERS
    ]
    assert elsewhere == []

"""Each form of the table prints the same trials; those for programs can be read by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.torture.stories import finding, trial
from torture.campaign.recorded import stored
from torture.campaign.run_config import RunConfig
from torture.cli import cli
from torture.draw.request import Request
from torture.report.formats import FORMATS
from torture.results.store import Store, Task
from verify.outcome import Outcome


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a run with one trial that failed."""
    failed = trial(1, Outcome.failed, finding())
    config = RunConfig(request=Request(), results=tmp_path, scratch=tmp_path)
    with Store(tmp_path, create=True) as store:
        store.describe(run="torture-1", config=config.to_dict(), seed=1)
        store.schedule(Task(1, failed.arm, failed.plan, failed.kernel))
        store.add(failed)
    return tmp_path


def show(run: Path, *options: str) -> str:
    done = CliRunner().invoke(cli, ["show", str(run), *options], standalone_mode=False)
    assert done.exception is None, done.output
    return done.output


def test_json_is_short_for_the_form_of_that_name(run: Path) -> None:
    assert json.loads(show(run, "--json")) == json.loads(show(run, "--format", "json"))
    assert "1 trial" in show(run) == show(run, "--format", "text")


@pytest.mark.parametrize("form", FORMATS)
def test_every_row_is_a_form_that_commands_take(run: Path, form: str) -> None:
    assert show(run, "--format", form).rstrip("\n") == FORMATS[form](*stored(run))

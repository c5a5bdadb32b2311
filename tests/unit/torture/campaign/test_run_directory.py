"""The directory of a run: what is there while it is held, what stays, and what an earlier process left of it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.torture.fake_lab import FakeLab
from torture.campaign import run_config
from torture.campaign.recorded import stored
from torture.campaign.run_config import RunConfig
from torture.campaign.run_directory import held, opened, recorded, reopened, temporary
from torture.draw.request import Request
from torture.errors import BadRequest, BrokenTool, MissingRequirement
from torture.lab import clean
from torture.lab.homes import LOCK, is_held
from torture.lab.run_id import ENVIRONMENT


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Of runs whose labs have no kernel."""
    monkeypatch.setattr(run_config, "make_labs", lambda *_, **__: {"packaged": FakeLab(lambda plan: 0)})
    return RunConfig(Request(seed=7), tmp_path / "results", tmp_path / "scratch")


def silent(_: str) -> None:
    """Says nothing."""


def test_a_run_is_held_described_and_leaves_no_scratch(config: RunConfig) -> None:
    said: list[str] = []
    with opened(config, "replay", said.append) as run:
        scratch = config.scratch / run.path.name
        assert said == [f"seed 7, results in {run.path}"] and is_held(scratch)
        (scratch / "guest-0").mkdir()
    assert not scratch.exists()
    _, facts = stored(run.path)
    assert (facts["run"], facts["seed"], facts["purpose"]) == (run.path.name, 7, "replay")
    assert RunConfig.from_dict(facts["config"]) == config
    assert facts["labs"] == {"packaged": {"lab": "uml", "kernel_path": "fake", "arguments": ""}}


def test_a_run_goes_on_wherever_it_was_moved_to_under_its_name(config: RunConfig, tmp_path: Path) -> None:
    with opened(config, "shrink", silent) as run:
        pass
    (tmp_path / "elsewhere").mkdir()
    moved = run.path.rename(tmp_path / "elsewhere" / run.path.name)
    again = recorded(moved, "shrink", config.scratch, silent)
    assert again == replace(config, results=tmp_path / "elsewhere")
    with reopened(moved, again, silent) as run:
        assert run.path == moved and is_held(config.scratch / run.path.name)
    with pytest.raises(BadRequest, match="is no run; it was made by 'shrink'"):
        recorded(moved, "run", config.scratch, silent)


def test_nobody_else_goes_on_with_a_run_that_is_held(config: RunConfig) -> None:
    with (
        opened(config, "shrink", silent) as run,
        pytest.raises(BadRequest, match="another process"),
        reopened(run.path, config, silent),
    ):
        pass


def test_nor_does_anybody_who_puts_its_disks_elsewhere(config: RunConfig, tmp_path: Path) -> None:
    """Whoever did killed its guests and removed their disks."""
    elsewhere = replace(config, scratch=tmp_path / "elsewhere")
    with (
        opened(config, "shrink", silent) as run,
        pytest.raises(BadRequest, match="another process"),
        reopened(run.path, elsewhere, silent),
    ):
        pass


def test_of_a_new_run_that_cannot_be_held_nothing_stays(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BrokenTool("no", "way")

    monkeypatch.setattr(clean, "reap", fail)
    with pytest.raises(BrokenTool), opened(config, "run", silent):
        pass
    assert list(config.results.iterdir()) == list(config.scratch.iterdir()) == []


def test_what_an_earlier_process_left_of_a_run_is_reaped_before_it_goes_on(config: RunConfig) -> None:
    """Its guests too, which may still write to the disks."""
    with opened(config, "shrink", silent) as run:
        pass
    name = run.path.name
    (config.scratch / name / "guest-0").mkdir(parents=True)
    guest = subprocess.Popen(["sleep", "60"], env={**os.environ, ENVIRONMENT: name})
    try:
        with reopened(run.path, config, silent):
            assert guest.wait(timeout=10) != 0
            assert [path.name for path in (config.scratch / name).iterdir()] == [LOCK]
    finally:
        guest.kill()
        guest.wait()


def test_other_scratch_than_before_is_said(config: RunConfig, tmp_path: Path) -> None:
    with opened(config, "run", silent) as run:
        pass
    said: list[str] = []
    assert recorded(run.path, "run", tmp_path / "new", said.append).scratch == tmp_path / "new"
    assert said == [f"scratch disks go to {tmp_path}/new; they were in '{config.scratch}', which --scratch gives"]


def test_nothing_is_made_for_labs_that_cannot_run(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MissingRequirement("no kernel", "install one")

    monkeypatch.setattr(run_config, "make_labs", refuse)
    with pytest.raises(MissingRequirement), opened(config, "run", silent):
        pass
    assert not config.results.exists()


def test_of_a_temporary_run_nothing_is_left(tmp_path: Path) -> None:
    with temporary(tmp_path / "results", tmp_path / "scratch") as (run_id, directory):
        (directory / "file").write_text("")
        (tmp_path / "scratch" / run_id / "guest-0").mkdir()
    assert list(tmp_path.glob("*/*")) == []


def test_results_are_not_put_where_they_would_be_reaped(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="would be taken for scratch disks"), held("r", tmp_path / "r", tmp_path):
        pass

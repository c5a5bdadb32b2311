"""Runs carried out on a lab without a kernel: once, to their end, again, and interrupted."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.torture.fake_lab import FakeLab
from torture.campaign import execution, run_config
from torture.campaign.run_config import RunConfig
from torture.draw import matrix
from torture.draw.request import Request
from torture.lab.base import Lab
from torture.plan import Plan

REQUEST = Request({"filesystem": ("ext4",), "layout": ("hole",)}, pages=1, canary=False, seed=7)


@pytest.fixture
def made() -> Counter[str]:
    """How often labs were made and plans drawn."""
    return Counter()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Counter[str]) -> RunConfig:
    """Of runs whose trials all pass."""

    def make_labs(*_: object, **__: object) -> dict[str, Lab]:
        made["labs"] += 1
        return {"packaged": FakeLab(lambda plan: 0)}

    def ordered(*arguments: object) -> object:
        made["draws"] += 1
        return draw_all(*arguments)  # type: ignore[arg-type]

    draw_all = matrix._ordered
    monkeypatch.setattr(matrix, "_ordered", ordered)
    monkeypatch.setattr(run_config, "make_labs", make_labs)
    return RunConfig(REQUEST, tmp_path / "results", tmp_path / "scratch", jobs=1)


def test_labs_are_made_once_and_plans_are_drawn_once(config: RunConfig, made: Counter[str]) -> None:
    ended = execution.carry_out(config, lambda _: None)
    assert (len(ended.trials), ended.interrupted) == (6, False)
    assert made == {"labs": 1, "draws": 1}


@pytest.mark.parametrize("limit", [{}, {"most_trials": 3}, {"time_limit_s": 0.2}], ids=["list", "trials", "time"])
def test_a_finished_run_that_is_resumed_runs_nothing_and_says_so(config: RunConfig, limit: dict[str, float]) -> None:
    config = replace(config, endless=bool(limit), **limit)  # type: ignore[arg-type]
    ended = execution.carry_out(config, lambda _: None)
    said: list[str] = []
    again = execution.resume(ended.directory, config, said.append)
    assert ended.trials and again.trials == ended.trials
    assert said[1:] == [f"{ended.directory.name} was finished, nothing was left to run"]


def test_the_first_interrupt_says_what_it_does_and_the_run_can_be_resumed(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: Plan) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return 0

    lab = FakeLab(interrupt)
    monkeypatch.setattr(run_config, "make_labs", lambda *_, **__: {"packaged": lab})
    ended = execution.carry_out(config, lambda _: None)
    assert ended.interrupted and len(ended.trials) == 1
    assert "torture: finishing 1 trial in flight; again ends them at once\n" in capfd.readouterr().err
    monkeypatch.setattr(lab, "rule", lambda _: 0)
    said: list[str] = []
    again = execution.resume(ended.directory, config, said.append)
    assert len(again.trials) == 6 and not again.interrupted and len(said) == 1

"""Replays count what they should, and subjects are found wherever a failure is kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.unit.torture.fake_lab import FakeLab, follow
from tests.unit.torture.stories import finding, plan, trial
from torture.campaign import run_config
from torture.errors import BadRequest
from torture.lab.local import LocalLab
from torture.lab.qemu import QemuLab
from torture.reproduce import replay_command
from torture.reproduce.replay import Again, count, document, render
from torture.reproduce.signature import keys
from torture.reproduce.subject import differences, find_subject
from torture.results.groups import Key
from verify.outcome import Outcome

EXPECTED = Key("ext4", "none", "", "kernel", "liveness", "", "")
OTHER = Key("ext4", "none", "hole", "lost", "sync", "", "")


def replay(path: Path, rate: float, expected: tuple[Key, ...] = (EXPECTED,), *, until_failure: bool = False) -> Again:
    source = Again(plan(), "fake", 40, expected, until_failure)
    follow(source, {"fake": FakeLab(lambda plan: rate)}, path).close()
    return source


def test_a_flaky_failure_has_a_rate_with_an_interval(tmp_path: Path) -> None:
    replayed = count(replay(tmp_path, 0.2).trials, (EXPECTED,))
    assert replayed.judged == 40 and 0 < replayed.failed < 20 and replayed.reproduced
    said = render(replayed, ["kernel was older"])
    assert "warning: kernel was older" in said and "with the recorded signature only" in said


def test_until_failure_stops_there(tmp_path: Path) -> None:
    trials = replay(tmp_path, 0.2, until_failure=True).trials
    assert 0 < len(trials) < 40
    assert [bool(trial.verdict.findings) for trial in trials] == [False] * (len(trials) - 1) + [True]


def test_another_failure_is_not_the_recorded_one(tmp_path: Path) -> None:
    replayed = count(replay(tmp_path, 1, (OTHER,)).trials, (OTHER,))
    assert not replayed.reproduced
    assert "Not reproduced" in render(replayed, []) and "Something else failed" in render(replayed, [])
    assert [entry["expected"] for entry in document(replayed, [], {})["signatures"]] == [True, False]


def test_a_loss_is_the_recorded_one_whichever_read_saw_it() -> None:
    recorded, again = (trial(1, Outcome.failed, finding(read=read)) for read in ("warm", "cold"))
    replayed = count([again], tuple(keys(recorded)))
    assert replayed.reproduced and len(replayed.seen) == 1


def test_a_plan_alone_reproduces_whatever_fails(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(plan().to_json())
    subject = find_subject(tmp_path / "plan.json", tmp_path)
    assert subject.plan == plan() and subject.expected == ()
    assert count(replay(tmp_path / "run", 1, ()).trials, ()).reproduced


def test_what_cannot_be_found_says_what_may_be_given(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="give RUN, RUN/TRIAL"):
        find_subject(tmp_path / "nothing", tmp_path)


HERE = Path("/r"), Path("/s")


@pytest.mark.parametrize(
    ("facts", "repeated"),
    [
        (LocalLab("run", *HERE).facts, ["--lab", "local"]),
        (QemuLab("run", *HERE, "/k").facts, ["--lab", "qemu", "--kernel", "/k"]),
    ],
    ids=["local", "qemu"],
)
def test_nothing_differs_where_it_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, str], repeated: list[str]
) -> None:
    """A finding and a trial: each lab says itself which kernel it has."""
    monkeypatch.setattr(run_config, "make_labs", lambda *_, **__: {"k": FakeLab(lambda plan: 1, facts=facts)})
    (tmp_path / "finding.json").write_text(json.dumps(asdict(finding())))
    (tmp_path / "versions.json").write_text(json.dumps(facts))
    (tmp_path / "plan.json").write_text(plan().to_json())
    options = ["--times", "1", "--results", str(tmp_path), "--scratch", str(tmp_path / "scratch"), "--json"]

    def replayed(subject: Path) -> dict[str, Any]:
        done = CliRunner().invoke(replay_command.replay, [str(subject), *repeated, *options], catch_exceptions=False)
        return dict(json.loads(done.stdout))

    done = replayed(tmp_path)
    again = replayed(tmp_path / done["run"] / "1")
    assert (done["failed"], done["warnings"]) == (again["failed"], again["warnings"]) == (1, [])
    assert again["reproduced"], "what the trial showed is what is expected of it"


def test_only_what_was_recorded_can_differ() -> None:
    now = {"kernel": "6.2", "mkfs": "1.47", "arguments": ""}
    assert differences({"kernel": "6.1", "arguments": ""}, now) == [
        "kernel was '6.1' when it was recorded, now it is '6.2'"
    ]

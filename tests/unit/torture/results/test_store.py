"""The store gives back what was put in, survives a kill, and refuses what it does not know."""

from __future__ import annotations

import os
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.torture.stories import finding, trial
from torture.draw.arm import Arm
from torture.errors import BadRequest, BrokenTool
from torture.results.store import STORE, Store, Task, Trial
from torture.results.store_file import SCHEMA_VERSION
from verify.outcome import Outcome


def put_in(store: Store, one: Trial) -> None:
    """Hands a trial's task out and stores its result."""
    store.schedule(Task(one.number, one.arm, one.plan, one.kernel))
    store.add(one)


def test_what_was_handed_out_and_has_no_result_is_known(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    put_in(store, trial(1, Outcome.passed))
    in_flight = Task(2, Arm.pinned, trial(2, Outcome.passed).plan, "packaged")
    store.schedule(in_flight)
    store.schedule(in_flight)
    assert list(store.tasks(unfinished=True)) == [in_flight]
    assert [task.number for task in store.tasks()] == [1, 2]


def test_a_result_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenTool):
        Store(tmp_path, create=True).add(trial(1, Outcome.passed))


def test_trials_and_facts_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    store.describe(seed=3, request={"pages": 8})
    put = [trial(2, Outcome.failed, finding(), finding("late", reported="msync EIO")), trial(1, Outcome.passed)]
    for one in put:
        put_in(store, one)
    store.close()
    again = Store(tmp_path)
    assert list(again.trials()) == sorted(put, key=lambda one: one.number)
    assert again.facts() == {"seed": 3, "request": {"pages": 8}}


def test_a_missed_canary_is_missed_when_it_comes_back_too(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    for number, missed in enumerate((True, False), 1):
        one = trial(number, Outcome.unknown)
        put_in(store, replace(one, verdict=replace(one.verdict, missed_canary=missed)))
    assert [one.verdict.missed_canary for one in store.trials()] == [True, False]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"kind":"lost"', '"kind":"stolen"', "[0].kind: 'stolen' is unknown; allowed are lost, torn"),
        ('"pages":1', '"pages":"1"', "[0].pages: found '1'; allowed is a whole number"),
        ('"writer":1,', "", "[0]: field 'writer' is missing; the fields are kind, promise"),
    ],
)
def test_a_finding_that_was_changed_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    store = Store(tmp_path, create=True)
    put_in(store, trial(7, Outcome.failed, finding()))
    with sqlite3.connect(tmp_path / STORE) as connection:
        connection.execute("UPDATE result SET findings = replace(findings, ?, ?)", [old, new])
    with pytest.raises(BadRequest) as caught:
        list(store.trials())
    assert f"trial 7, findings: {said}" in str(caught.value)


def test_what_was_added_survives_a_kill_at_once(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        store = Store(tmp_path, create=True)
        put_in(store, trial(1, Outcome.passed))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [one.number for one in Store(tmp_path).trials()] == [1]


def test_a_trial_is_never_counted_twice(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    put_in(store, trial(1, Outcome.passed))
    with pytest.raises(BrokenTool, match="what was stored before is intact"):
        store.add(trial(1, Outcome.passed))
    assert len(list(store.trials())) == 1


def test_a_directory_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="not the directory of a run"):
        Store(tmp_path)


@pytest.mark.parametrize(("version", "reader"), [(2, "an older checkout"), (99, "a newer version")])
def test_another_schema_is_refused_with_its_number(tmp_path: Path, version: int, reader: str) -> None:
    Store(tmp_path, create=True).close()
    with sqlite3.connect(tmp_path / STORE) as connection:
        connection.execute(f"PRAGMA user_version={version}")
    with pytest.raises(BadRequest, match=f"has schema {version}.* reads {SCHEMA_VERSION}; {reader} of torture"):
        Store(tmp_path)

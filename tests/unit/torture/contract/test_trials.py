"""From rows to plans, and from what a trial left to entries of the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.torture.stories import leave, ran
from torture import faults
from torture.contract.experiment import PLAIN, STORE, Experiment
from torture.contract.stores import stores
from torture.contract.trials import CASES, Case, entries, missing, plan_of, trials_of
from torture.contract.verdict import ARMS, CONTROL, PINNED, ClauseVerdict, Entry
from torture.filesystems import FILESYSTEMS, filesystem
from torture.plan import Plan
from torture.rig.record import Record
from verify.finding import of_filesystem
from verify.stamp import Look
from workloads.layouts import LAYOUTS
from workloads.probes import STEPS

CASE = Case(Experiment(clause=4, name="hole", stage=PLAIN, ops=(STORE,), judge=stores(), pages=4), PINNED)


@pytest.mark.parametrize("name", FILESYSTEMS)
def test_every_experiment_is_in_one_trial_or_has_a_reason_why_not(name: str) -> None:
    row = filesystem(name)
    tried = [case for cases in trials_of(row) for case in cases]
    assert len(tried) == len(set(tried))
    assert {case for case in CASES if not missing(case, row)} == set(tried)
    assert {case.arm for case in tried} in (set(), set(ARMS))


@pytest.mark.parametrize("name", FILESYSTEMS)
def test_plans_name_what_there_is_and_survive_json(name: str) -> None:
    row = filesystem(name)
    for cases in trials_of(row):
        plan = plan_of(cases, row)
        assert Plan.from_json(plan.to_json()) == plan
        assert all(faults.make(spec) for spec in plan.faults)
        assert [worker.path for worker in plan.workers] == [file.name for file in plan.files]
        assert len({file.name for file in plan.files}) == len(cases)
        assert all(row.has(LAYOUTS[file.layout].needs) for file in plan.files)
        kinds = {op.kind for worker in plan.workers for op in worker.ops} - {"store", "sync", "gate"}
        assert kinds <= set(STEPS)


def test_preallocated_blocks_that_are_not_unwritten_lie_beyond_the_end() -> None:
    case = next(case for case in CASES if (case.experiment.clause, case.experiment.name) == (6, "unwritten"))
    plan = plan_of([case], filesystem("f2fs"))
    assert plan.files[0].layout == "keep-size"
    assert [op.kind for op in plan.workers[0].ops] == ["grow", "reopen", "store", "sync"]
    assert plan_of([case], filesystem("ext4")).files[0].layout == "unwritten"


def test_arms_differ_in_the_pin() -> None:
    pinned, control = (plan_of([replace(CASE, arm=arm)], filesystem("ext4")).workers[0] for arm in (PINNED, CONTROL))
    assert replace(pinned, pin=CONTROL, path="") == replace(control, path="")


@pytest.fixture
def plan() -> Plan:
    return plan_of([CASE], filesystem("ext4"))


def left(directory: Path, plan: Plan, record: Record, cold: Look = Look.OWN) -> Entry:
    """The entry of a trial of one file that was left by hand."""
    leave(directory, plan, record=record, cold=cold)
    (entry,) = entries((CASE,), plan, directory)
    return entry


def test_a_file_is_judged_by_the_oracle(tmp_path: Path, plan: Plan) -> None:
    entry = left(tmp_path, plan, ran())
    assert (entry.key, entry.verdict, entry.words) == (
        (4, "hole", PINNED),
        ClauseVerdict.holds,
        "4 stores accepted, nothing was lost",
    )
    assert entry.evidence["trial"] == tmp_path.name
    assert ["pinned", 1, 0] in entry.evidence["ledger"]


def test_a_loss_that_the_oracle_finds_breaks_the_clause(tmp_path: Path, plan: Plan) -> None:
    entry = left(tmp_path, plan, ran(), cold=Look.ZERO)
    assert entry.verdict is ClauseVerdict.broken
    assert entry.evidence["findings"][0]["kind"] == "lost"


def test_findings_on_other_files_are_not_this_clauses(tmp_path: Path, plan: Plan) -> None:
    record = ran(checked=[("fsck", False, "unclean")], alarms=["WARNING: planted"])
    assert left(tmp_path, plan, record).verdict is ClauseVerdict.holds


OVERFULL = of_filesystem("overfull", "invented", expected="room for 4 bytes", found="5 bytes of ballast accepted")
"""Found before the files are read, which then may never be."""


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (Record(state="notrun", reason="no flakey"), ClauseVerdict.notrun),
        (Record(), ClauseVerdict.unknown),
        (ran(hung="a store did not return"), ClauseVerdict.unknown),
        (ran(proofs=[("enospc", False, "accepted")]), ClauseVerdict.unknown),
        (ran(unmountable="EUCLEAN"), ClauseVerdict.broken),
        (ran(broken=[OVERFULL]), ClauseVerdict.broken),
        (ran(broken=[OVERFULL], phases={"judge": 1.0}), ClauseVerdict.holds),
    ],
)
def test_what_holds_for_a_trial_holds_for_each_case(
    tmp_path: Path, plan: Plan, record: Record, verdict: ClauseVerdict
) -> None:
    assert left(tmp_path, plan, record).verdict is verdict


def test_a_worker_that_did_not_come_to_its_end_is_unknown(tmp_path: Path, plan: Plan) -> None:
    lock = next(case for case in CASES if case.experiment.name == "lock")
    leave(tmp_path, plan, record=ran())
    (entry,) = entries((lock,), plan, tmp_path)
    assert entry.verdict is ClauseVerdict.unknown

"""Shrinks end with nothing but what matters, in plans that always fail and in plans that fail 1 time in 5."""

from __future__ import annotations

from dataclasses import asdict, replace
from math import log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.torture.fake_lab import FakeLab, Rule, follow, follow_fast
from tests.unit.torture.stories import finding
from torture.draw.combination import combinations_of
from torture.draw.matrix import draw
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.judge import Verdict
from torture.plan import FaultSpec, Plan
from torture.reproduce.factors import Known, name_factors
from torture.reproduce.sequential import ERROR, RateTest, Tally, rate_test
from torture.reproduce.shrink import Position, Shrink
from torture.reproduce.shrink_command import chosen_target
from torture.reproduce.shrinkers import SHRINKERS, smaller, subsets
from torture.reproduce.shrunk import document, factors, render
from torture.reproduce.subject import Subject
from torture.results.groups import Key
from torture.results.store import Store, Trial
from verify.outcome import Outcome
from workloads.plan import WorkerPlan


def large_plan() -> Plan:
    request = Request({"filesystem": ("xfs",), "fault": ("enospc",)}, canary=False, mount_options=("sync",))
    return draw(request)[0].plan


def stores(worker: WorkerPlan) -> int:
    return sum(op.kind == "store" for op in worker.ops)


def layout_of(plan: Plan, worker: WorkerPlan) -> str:
    return next(file.layout for file in plan.files if file.file == worker.file)


def pinned_restore(plan: Plan) -> bool:
    """Fails when a pinned worker stores twice to a file that is not written."""
    return any(
        worker.pin != "none" and stores(worker) >= 2 and layout_of(plan, worker) != "written" for worker in plan.workers
    )


def full_hole(plan: Plan) -> bool:
    """Fails when a hole is stored to on a full filesystem."""
    full = any(fault.name == "enospc" for fault in plan.faults)
    return full and any(layout_of(plan, worker) == "hole" and stores(worker) for worker in plan.workers)


def shrink(path: Path, rule: Rule, seed: int = 0, jobs: int = 1) -> Shrink:
    search = Shrink(large_plan(), "fake", None)
    follow(search, {"fake": FakeLab(rule, seed)}, path, jobs).close()
    return search


def test_a_sure_failure_shrinks_to_its_factors(tmp_path: Path) -> None:
    search = shrink(tmp_path, pinned_restore)
    plan = search.plan
    assert len(plan.files) == len(plan.workers) == 1 and plan.workers[0].pages == 1
    assert [op.kind for op in plan.workers[0].ops if op.kind != "store"] == [] and stores(plan.workers[0]) == 2
    assert plan.fault_names == "none" and plan.mount_options == ()
    named = " ".join(factors(search))
    assert "needs the pin: mlock, mlock2-onfault or map-locked before the first store" in named
    assert "any layout but written" in named
    assert "no fault and no crash needed" in named and "any access path" in named


def test_a_fault_and_a_layout_are_named(tmp_path: Path) -> None:
    search = shrink(tmp_path, full_hole, jobs=2)
    plan = search.plan
    assert [file.layout for file in plan.files] == ["hole"] and plan.workers[0].pin == "none"
    assert plan.faults == (FaultSpec("enospc", {"free_blocks": 0}),)
    said = render(search)
    assert "needs layout hole, not" in said and "needs the fault enospc" in said and "any pin" in said
    assert document(search, {})["done"] and document(search, {})["trials"] == search.trials


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_that_fails_one_time_in_five_shrinks_too(seed: int) -> None:
    search = Shrink(large_plan(), "fake", None)
    follow_fast(search, {"fake": FakeLab(lambda plan: 0.2 * pinned_restore(plan), seed)})
    assert pinned_restore(search.plan)
    assert len(search.plan.files) == 1 and sum(worker.pages for worker in search.plan.workers) <= 4
    assert sum(len(worker.ops) for worker in search.plan.workers) <= 6
    assert f"{search.trials} trials." in render(search)


def test_a_plan_that_does_not_fail_is_left_alone(tmp_path: Path) -> None:
    search = shrink(tmp_path, lambda plan: 0)
    assert search.is_hopeless and search.plan == large_plan()
    assert "too rarely to work with" in render(search)


def test_an_interrupted_shrink_goes_on_where_it_stood(tmp_path: Path) -> None:
    positions: list[Position] = []

    class Cut(Shrink):
        def next(self):  # type: ignore[no-untyped-def]
            return None if self.trials >= 25 else super().next()

    def remember(position: Position) -> None:
        positions.append(Position(**asdict(position)))

    first = Cut(large_plan(), "fake", None, remember=remember)
    store: Store = follow(first, {"fake": FakeLab(pinned_restore)}, tmp_path / "run")
    assert first.position.phase == "search" and first.position.taken
    second = Shrink(large_plan(), "fake", first.target, before=store.trials(), first_number=100, position=positions[-1])
    lab = FakeLab(pinned_restore)
    follow(second, {"fake": lab}, tmp_path / "again").close()
    assert large_plan() not in lab.ran, "what was measured is not measured again"
    taken = first.position.taken
    assert second.position.phase == "done" and second.position.taken[: len(taken)] == taken
    assert len(second.plan.files) == 1


def test_what_the_budget_did_not_reach_is_not_tested_and_never_needed() -> None:
    plan = large_plan()
    named = name_factors(plan, Known(lambda plan: None))
    assert named and not [phrase for phrase in named if "need" in phrase and "no crash needed" not in phrase]
    assert "the fault enospc" in " ".join(named) and all("not tested" in phrase for phrase in named)


def test_a_replayed_state_is_no_lack_of_a_crash() -> None:
    plan = replace(large_plan(), faults=(FaultSpec("replay", {}),))
    said = next(phrase for phrase in name_factors(plan, Known(lambda plan: False)) if "the fault" in phrase)
    assert said.startswith("needs the fault replay") and said.endswith("only a replayed crash state shows it")
    assert "no crash needed" not in said


def test_a_budget_that_ends_early_says_what_it_left_open(tmp_path: Path) -> None:
    class Cut(Shrink):
        def next(self):  # type: ignore[no-untyped-def]
            return None if self.position.phase == "vary" else super().next()

    search = Cut(large_plan(), "fake", None)
    follow(search, {"fake": FakeLab(full_hole)}, tmp_path).close()
    named = factors(search)
    assert any(phrase.startswith("needs the fault enospc") for phrase in named), "the search itself left it out"
    assert any(phrase.startswith("needs this operation: store") for phrase in named)
    pin = next(phrase for phrase in named if phrase.startswith("pin none"))
    assert "mlock" in pin and "not tested" in pin
    assert "The budget ended in phase vary" in render(search)


def test_what_could_not_be_judged_is_not_said_to_be_needed() -> None:
    """The search drops a plan whose fault never fires, but learns nothing from it."""
    search = Shrink(large_plan(), "fake", None)
    alarm = finding("kernel", pin="", promise="liveness", layout="")
    while (task := search.next()) is not None:
        fires = full_hole(task.plan)
        verdict = Verdict(Outcome.failed, "", (alarm,)) if fires else Verdict(Outcome.unknown, "never fired", ())
        search.finished(Trial(task.number, task.arm, task.plan, verdict, {}, 0.0, "6.1-fake", (), task.kernel))
    named = factors(search)
    assert search.position.phase == "done" and [file.layout for file in search.plan.files] == ["hole"]
    assert not any(phrase.startswith(("needs layout", "needs the fault")) for phrase in named)
    assert any(phrase.startswith("layout hole (") and phrase.endswith("not tested)") for phrase in named)


def test_a_word_is_needed_only_where_another_was_tried() -> None:
    plan = large_plan()
    file = plan.files[0]
    small = replace(plan, files=(file,), workers=tuple(each for each in plan.workers if each.file == file.file)[:1])
    tried = combinations_of(small)[0].having(layout="written").put_into(small, 0)
    named = name_factors(small, Known(lambda plan: False if plan == tried else None))
    layout = next(phrase for phrase in named if "layout" in phrase)
    assert layout.startswith(f"needs layout {file.layout}, not written (") and layout.endswith(": not tested)")


def test_one_of_several_findings_is_kept() -> None:
    both = tuple(Key("xfs", "none", "hole", kind, "sync", "", "") for kind in ("clone-changed", "lost"))
    found = Subject(large_plan(), "RUN/1", both)
    assert [chosen_target(found, kind).kind for kind in (None, "lost")] == ["clone-changed", "lost"]  # type: ignore[union-attr]
    assert chosen_target(Subject(large_plan(), "plan.json"), None) is None
    with pytest.raises(BadRequest, match="RUN/1 has no finding of kind torn; it has clone-changed, lost"):
        chosen_target(found, "torn")


def complexity(plan: Plan) -> tuple[int, ...]:
    return (
        len(plan.files),
        len(plan.workers),
        sum(worker.pages for worker in plan.workers),
        sum(len(worker.ops) for worker in plan.workers),
    )


def test_every_step_is_a_whole_plan_and_none_is_larger() -> None:
    plan = large_plan()
    for shrinker in SHRINKERS:
        steps = list(shrinker(plan))
        assert plan not in [step.plan for step in steps]
        for step in steps:
            assert Plan.from_json(step.plan.to_json()) == step.plan
            assert all(a <= b for a, b in zip(complexity(step.plan), complexity(plan), strict=True))
            _assert_whole(step.plan)


def _assert_whole(plan: Plan) -> None:
    """Every worker's pages lie in its file, which it names, and no page has two owners."""
    for file in plan.files:
        owned = [
            page
            for worker in plan.workers
            if worker.file == file.file
            for page in range(worker.first_page, worker.first_page + worker.pages)
        ]
        assert sorted(owned) == list(range(file.pages))
    assert all(worker.path in [file.name for file in plan.files] for worker in plan.workers)


@given(st.lists(st.integers(), max_size=12, unique=True))
def test_subsets_are_smaller_in_order_and_hold_every_single_removal(values: list[int]) -> None:
    parts = list(subsets(values))
    assert all(len(part) < len(values) and list(part) == [one for one in values if one in part] for part in parts)
    assert len(set(parts)) == len(parts)
    for value in values:
        assert tuple(one for one in values if one != value) in parts


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_smaller_numbers_are_smaller(value: int, lowest: int) -> None:
    assert all(lowest <= each < value for each in smaller(value, lowest))


@given(st.floats(0.05, 0.9), st.integers(0, 40), st.integers(0, 40))
def test_a_decision_has_the_odds_that_wald_asks_for(sure: float, seen: int, clean: int) -> None:
    test = RateTest(sure)
    decision = test.decide(Tally(seen, seen + clean))
    odds = seen * log(test.sure / test.rare) + clean * log((1 - test.sure) / (1 - test.rare))
    bound = log((1 - ERROR) / ERROR)
    assert decision is (True if odds >= bound else False if odds <= -bound else None)


def test_sure_failures_need_few_trials() -> None:
    test = rate_test(Tally(5, 5))
    assert test.decide(Tally(3, 3)) is True and test.decide(Tally(0, 2)) is False
    assert test.trials_to_decide(Tally(0, 0)) == 2 and test.trials_to_decide(Tally(2, 2)) == 1


def test_the_memory_limit_is_an_option_too() -> None:
    plan = replace(large_plan(), memlock_bytes=4096)
    assert replace(plan, memlock_bytes=-1) in [step.plan for shrinker in SHRINKERS for step in shrinker(plan)]

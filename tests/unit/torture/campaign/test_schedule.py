"""A campaign's schedule: canaries, breadth, depth around findings; the same given the same results; resumable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.unit.torture.stories import finding
from torture.campaign.confirm import FEWEST_REPEATS
from torture.campaign.schedule import CONFIRM_EVERY, FixedList, Schedule
from torture.draw.combination import combinations_of
from torture.draw.request import Request, whole_space
from torture.judge import Verdict
from torture.results.blame import ENOUGH, shape_of
from torture.results.known import Known
from torture.results.store import Task, Trial
from verify.finding import Finding
from verify.outcome import Outcome

REQUEST = Request({"filesystem": ("ext4", "ext2")}, seed=5)


def schedule(**options: object) -> Schedule:
    return Schedule(REQUEST, ["packaged"], **options)  # type: ignore[arg-type]


def result(task: Task, *findings: Finding) -> Trial:
    verdict = Verdict(Outcome.failed if findings else Outcome.passed, "", findings)
    return Trial(task.number, task.arm, task.plan, verdict, {}, 1.0, "6.1", (), kernel=task.kernel)


def follow(source: Schedule, count: int, losing: str = "") -> list[Task]:
    """Runs `count` tasks; pinned trials of filesystem `losing` fail."""
    tasks = []
    for _ in range(count):
        task = source.next()
        assert task is not None
        tasks.append(task)
        source.finished(result(task, *_loss(task, losing)))
    return tasks


def _loss(task: Task, losing: str = "ext2") -> list[Finding]:
    return [finding()] * (task.plan.filesystem == losing and not task.is_canary)


def test_canaries_come_first_then_every_plan_and_its_control_arm() -> None:
    tasks = follow(schedule(), 14)
    assert [task.arm for task in tasks[:4]] == ["canary", "canary", "pinned", "control"]
    assert {task.plan.fault_names for task in tasks[2:]} == {"none", "enospc", "power-cut"}


def test_canaries_are_drawn_without_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    source = schedule()
    monkeypatch.setattr("torture.draw.matrix._plans", lambda *_: pytest.fail("another plan was drawn"))
    assert [task.arm for task in follow(source, 2)] == ["canary", "canary"]


def test_it_never_repeats_a_plan_and_never_ends_by_itself() -> None:
    tasks = follow(schedule(), 200)
    assert len({task.plan.identity for task in tasks}) == 200
    assert [after.number - before.number for before, after in pairwise(tasks)] == [1] * 199


def test_the_same_results_give_the_same_schedule() -> None:
    assert follow(schedule(), 100, "ext2") == follow(schedule(), 100, "ext2")


def test_findings_are_looked_into_with_new_seeds() -> None:
    tasks = follow(schedule(), 80, "ext2")
    repeats = [task for task in tasks if task.arm == "repeat"]
    assert len(repeats) >= 80 // CONFIRM_EVERY - 5
    assert {task.plan.filesystem for task in repeats} == {"ext2"}
    assert len({task.plan.seed for task in repeats}) == len(repeats)


def test_a_finding_whose_trials_take_minutes_does_not_starve_the_rest() -> None:
    source, shown, repeats = schedule(), "", []
    for _ in range(200):
        task = source.next()
        assert task is not None
        repeats += [task] if task.arm == "repeat" else []
        hangs = task.arm == "pinned" and shown in ("", shape_of(task.plan))
        shown = shown or (shape_of(task.plan) if hangs else "")
        source.finished(replace(result(task, *_loss(task, task.plan.filesystem) * hangs), seconds=200.0 if hangs else 1.0))
    assert {shape_of(task.plan) for task in repeats} == {shown} and len(repeats) == 3


def test_a_finding_gets_its_control_arm_before_anything_else() -> None:
    wide = replace(whole_space(), pairwise=False, seed=3).having(filesystem=("ext4",), fault=("shutdown",))
    source = Schedule(wide, ["packaged"])
    tasks = follow(source, 40, "ext4")
    first = next(task for task in tasks if task.arm == "pinned")
    repeats = [task for task in tasks if task.arm == "repeat"]
    assert repeats[0].plan == first.plan.control()
    again = [task.plan for task in repeats if shape_of(task.plan) == shape_of(first.plan)]
    assert {plan.is_control for plan in again[1:]} == {True, False}


def test_control_arms_of_findings_are_run_before_the_budget_of_findings_ends_it() -> None:
    wide = replace(whole_space(), pairwise=False, seed=3).having(filesystem=("ext4",), fault=("shutdown",))
    source = Schedule(wide, ["packaged"], most_findings=1)
    tasks = []
    while (task := source.next()) is not None:
        tasks.append(task)
        source.finished(result(task, *[finding()] * (task.arm == "pinned")))
    assert [task.arm for task in tasks] == ["canary", "pinned", *["repeat"] * FEWEST_REPEATS]
    assert Counter(task.plan.is_control for task in tasks[1:]) == {False: ENOUGH, True: ENOUGH}
    assert tasks[2].plan == tasks[1].plan.control()


def test_the_whole_space_is_reached_whatever_the_matrix_has() -> None:
    wide = replace(whole_space(), pairwise=False, seed=3).having(filesystem=("ext4", "xfs"))
    tasks = follow(Schedule(wide, ["packaged"]), 260)
    combinations = [combination for task in tasks if not task.is_canary for combination in combinations_of(task.plan)]
    for name, values in wide.values.items():
        assert {combination[name] for combination in combinations} == set(values) - {"snapshotted"}


def test_slow_faults_come_less_often_and_hopeless_ones_hardly_ever() -> None:
    faults = ("eio-writes", "replay", "shutdown")
    wide = replace(whole_space(), pairwise=False, seed=3).having(filesystem=("ext4",), fault=faults)
    source = Schedule(wide, ["packaged"])
    tried: Counter[str] = Counter()
    for _ in range(120):
        task = source.next()
        assert task is not None
        tried[task.plan.fault_names] += 1
        outcome = Outcome.notrun if task.plan.fault_names == "shutdown" else Outcome.passed
        slow = 64.0 if task.plan.fault_names == "replay" else 1.0
        source.finished(replace(result(task), seconds=slow, verdict=Verdict(outcome, "", ())))
    assert 0 < tried["shutdown"] < tried["eio-writes"] / 5
    assert tried["eio-writes"] / 4 < tried["replay"] < tried["eio-writes"] / 1.5


def test_a_known_finding_is_not_looked_into_again() -> None:
    known = Known("n", reason="so it is", expires="2999-01-01", values={"filesystem": ("ext2",)})
    assert not [task for task in follow(schedule(known=(known,)), 60, "ext2") if task.arm == "repeat"]
    expired = replace(known, expires="2000-01-01")
    assert [task for task in follow(schedule(known=(expired,)), 60, "ext2") if task.arm == "repeat"]


def test_budgets_end_it() -> None:
    bounded = schedule(most_trials=7)
    follow(bounded, 7)
    assert bounded.next() is None
    hunting = schedule(most_findings=1)
    while (task := hunting.next()) is not None:
        hunting.finished(result(task, finding()))
        assert task.number < 20
    assert hunting.next() is None


@pytest.mark.parametrize("killed_after", [1, 5, 17, 40, 50])
def test_a_resumed_campaign_runs_what_was_in_flight_and_goes_on_with_the_same_plans(killed_after: int) -> None:
    whole = [task.plan for task in follow(schedule(), 60)]
    before = schedule()
    tasks = follow(before, killed_after)
    in_flight = [before.next(), before.next()]
    unfinished = [task for task in in_flight if task is not None]
    after = schedule(unfinished=unfinished, finished=[result(task) for task in tasks])
    resumed = follow(after, 60 - killed_after)
    assert resumed[:2] == unfinished
    canaries = [task for task in resumed[2:] if task.is_canary]
    plans = [task.plan for task in (*tasks, *resumed) if task not in canaries]
    assert plans == whole[: len(plans)]


@pytest.mark.parametrize("killed_after", [8, 23, 41])
def test_a_resumed_campaign_does_not_forget_what_it_looked_into(killed_after: int) -> None:
    whole = follow(schedule(), 70, "ext2")
    tasks = whole[:killed_after]
    after = schedule(finished=[result(task, *_loss(task)) for task in tasks])
    resumed = [task for task in follow(after, 30, "ext2") if not task.is_canary]
    assert [task.plan for task in resumed] == [task.plan for task in whole[killed_after : killed_after + len(resumed)]]


def test_several_kernels_get_every_plan() -> None:
    source = Schedule(REQUEST, ["one", "two"])
    tasks = [task for task in follow(source, 44) if not task.is_canary]
    by_kernel = {lab: [task.plan for task in tasks if task.kernel == lab] for lab in ("one", "two")}
    assert by_kernel["one"] == by_kernel["two"]


def test_a_fixed_list_leaves_out_what_is_done() -> None:
    from torture.draw.matrix import draw

    drawn = draw(REQUEST)
    done = [result(Task(number, item.arm, item.plan, "packaged")) for number, item in enumerate(drawn[:2], 1)]
    source = FixedList(drawn, "packaged", done)
    task = source.next()
    assert task is not None and (task.number, task.plan) == (3, drawn[2].plan)


def _not_planted(task: Task) -> Trial:
    return replace(result(task), verdict=Verdict(Outcome.notrun, "the kernel has no dm-flakey", ()))


@pytest.mark.parametrize("endless", [True, False])
def test_a_loss_that_cannot_be_planted_gives_way_to_another(endless: bool) -> None:
    """A resumed run neither forgets nor repeats it."""
    from torture.draw.matrix import draw

    def source(done: Sequence[Trial] = ()) -> FixedList | Schedule:
        return schedule(finished=done) if endless else FixedList(draw(REQUEST), "packaged", done)

    first = source()
    task = first.next()
    assert task is not None and task.plan.fault_names == "lying-disk"
    first.finished(_not_planted(task))
    instead = first.next()
    assert instead is not None and (instead.plan.filesystem, instead.plan.fault_names) == ("ext4", "stale-disk")
    assert instead.is_canary and instead.number != task.number
    if not endless:
        assert source([_not_planted(task)]).next() == instead
        again = source([_not_planted(task), result(instead)]).next()
        assert again is not None and again.plan.filesystem == "ext2"
    last = _not_planted(instead)
    first.finished(last)
    following = first.next()
    assert following is not None and following.plan.filesystem == "ext2"


def test_a_missed_canary_ends_the_campaign() -> None:
    """Nothing that it called clean could be believed."""
    source = schedule()
    task = source.next()
    assert task is not None and task.is_canary
    missed = Verdict(Outcome.unknown, "8 pages are not as planted", (), missed_canary=True)
    source.finished(replace(result(task), verdict=missed))
    assert source.next() is None
    assert schedule(finished=[replace(result(task), verdict=missed)]).next() is None, "nor is it resumed"

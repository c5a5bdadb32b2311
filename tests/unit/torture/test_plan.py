"""Plans are plain data: they survive JSON unchanged, name themselves by content, and refuse what is not a plan."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from torture.draw.arm import Arm
from torture.draw.matrix import draw
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.plan import FaultSpec, Plan


def some_plans() -> list[Plan]:
    return [item.plan for item in draw(Request(seed=7))]


def test_a_plan_survives_json() -> None:
    for plan in some_plans():
        assert Plan.from_json(plan.to_json()) == plan


def test_equal_plans_have_equal_names_and_different_ones_have_not() -> None:
    plans = some_plans()
    assert len({plan.identity for plan in plans}) == len(plans)
    assert plans[0].identity == Plan.from_json(plans[0].to_json()).identity
    assert plans[0].identity != replace(plans[0], seed=plans[0].seed + 1).identity


def test_a_plan_names_itself_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan.from_json(some_plans()[0].to_json())
    name = plan.identity
    monkeypatch.setattr(Plan, "to_json", lambda _: pytest.fail("the name was made again"))
    assert (plan.identity, plan.stamp_run) == (name, int(name, 16))


def test_the_control_arm_differs_in_nothing_but_the_pin() -> None:
    plan = next(item.plan for item in draw(Request()) if item.arm is Arm.pinned)
    control = plan.control()
    assert control.is_control
    assert [replace(worker, pin="none") for worker in plan.workers] == list(control.workers)
    assert replace(control, workers=plan.workers) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", "{not json", '{"version": 1}', '{"version": 99}'])
def test_what_is_no_plan_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Plan.from_json(text)
    assert "\n" not in str(caught.value)


def test_an_edited_plan_with_a_field_too_many_is_refused() -> None:
    raw = json.loads(some_plans()[0].to_json()) | {"colour": "blue"}
    with pytest.raises(BadRequest, match="colour"):
        Plan.from_json(json.dumps(raw))


def test_faults_are_named_in_the_order_they_are_armed() -> None:
    plan = replace(some_plans()[0], faults=(FaultSpec("enospc", {}), FaultSpec("power-cut", {})))
    assert plan.fault_names == "enospc+power-cut"


def test_only_a_plan_whose_workers_are_one_process_says_so() -> None:
    plan = some_plans()[0]
    assert "one_process" not in plan.to_json()
    together = replace(plan, one_process=True)
    assert Plan.from_json(together.to_json()) == together

"""The pairwise draw meets every pair of values early, interesting ones first, and draws nothing that cannot be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import pytest

from torture.dimensions import DIMENSIONS
from torture.draw.arm import Arm
from torture.draw.matrix import Drawn, draw
from torture.draw.request import Request, whole_space
from torture.filesystems import filesystem
from torture.plan import Plan
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.plan import WorkerPlan

FILESYSTEMS = ("xfs", "ext4", "btrfs", "f2fs")
FAULTS = ("none", "enospc", "power-cut")


def wide(count: int, **fields: object) -> Request:
    values = {"filesystem": FILESYSTEMS, "fault": FAULTS}
    values |= {name: fields.pop(name) for name in DIMENSIONS if name in fields}  # type: ignore[misc]
    given = {"seed": 1, "canary": False, "control": False, **fields}
    return replace(whole_space(), count=count, **given).having(**values)  # type: ignore[arg-type]


def plans(request: Request) -> list[Plan]:
    return [item.plan for item in draw(request)]


def values(plan: Plan, worker: WorkerPlan) -> dict[str, str]:
    """What a worker adds to the pairs that were met."""
    layouts = {file.file: file.layout for file in plan.files}
    opening = LAYOUTS[layouts[worker.file]].opening
    syncs = {op.name for op in worker.ops if op.kind == "sync"}
    disturbing = [op.kind for op in worker.ops[len(opening) :] if op.kind in DISTURBANCES and op.kind != "background"]
    return {
        "filesystem": plan.filesystem,
        "fault": plan.fault_names,
        "layout": layouts[worker.file],
        "pin": worker.pin,
        "access": worker.access,
        "sync": syncs.pop() if syncs else "nothing",
        "disturbance": disturbing[0] if disturbing else "none",
    }


def pairs(plan: Plan) -> Iterable[tuple[tuple[str, str], tuple[str, str]]]:
    for worker in plan.workers:
        yield from combinations(values(plan, worker).items(), 2)


def possible(pair: tuple[tuple[str, str], tuple[str, str]]) -> bool:
    named = dict(pair)
    rows = [filesystem(named["filesystem"])] if "filesystem" in named else list(map(filesystem, FILESYSTEMS))
    layout = LAYOUTS.get(named.get("layout", ""))
    disturbance = DISTURBANCES.get(named.get("disturbance", ""))
    if disturbance and "pin" in named and not disturbance.suits(named["pin"]):
        return False
    needs = [row.needs for row in (layout, disturbance) if row]
    return any(all(row.has(need) for need in needs) for row in rows)


def test_every_possible_pair_is_met_within_a_few_hundred_plans() -> None:
    request = wide(400)
    names = ("filesystem", "fault", "layout", "pin", "access", "sync", "disturbance")
    wanted = {
        ((one, a), (other, b))
        for (one, ones), (other, others) in combinations([(name, request[name]) for name in names], 2)
        for a in ones
        for b in others
    }
    met = {pair for plan in plans(request) for pair in pairs(plan)}
    missed = [pair for pair in wanted - met if possible(pair) and not _ends_without_sync(pair)]
    assert not missed


def _ends_without_sync(pair: tuple[tuple[str, str], tuple[str, str]]) -> bool:
    return ("sync", "nothing") in pair


def test_interesting_plans_come_first() -> None:
    first = plans(wide(40))[:4]
    assert [plan.fault_names for plan in first] == ["enospc"] * 4
    workers = [worker for plan in first for worker in plan.workers]
    assert sum(worker.pin != "none" for worker in workers) > 0.8 * len(workers)
    assert sum(any(op.kind == "background" for op in worker.ops) for worker in workers) > 0.5 * len(workers)
    assert all([op.kind for op in worker.ops].count("store") == 2 for worker in workers)


def test_count_is_the_number_of_plans_and_each_pinned_one_has_its_control_arm() -> None:
    items: list[Drawn] = draw(wide(30, control=True))
    assert sum(item.arm == "pinned" for item in items) == sum(item.arm == "control" for item in items) == 30


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    assert plans(wide(20)) == plans(wide(20))
    assert plans(wide(20)) != plans(wide(20, seed=2))
    assert plans(wide(20)) == plans(wide(40))[:20]


def test_nothing_is_drawn_that_the_filesystem_does_not_offer() -> None:
    for plan in plans(wide(200, filesystem=("ext2", "btrfs", "ext4:bigalloc"))):
        row = filesystem(plan.filesystem)
        assert all(row.has(LAYOUTS[file.layout].needs) for file in plan.files)
        steps = {op.kind for worker in plan.workers for op in worker.ops} & set(DISTURBANCES)
        assert all(row.has(DISTURBANCES[step].needs) for step in steps)


def test_who_changes_the_size_of_a_file_is_alone_on_it() -> None:
    for plan in plans(wide(200, workers=3)):
        for worker in plan.workers:
            if any(op.kind in DISTURBANCES and DISTURBANCES[op.kind].alone for op in worker.ops):
                assert [other for other in plan.workers if other.file == worker.file] == [worker]


def test_the_control_arm_does_nothing_that_is_only_for_pins() -> None:
    request = wide(30, disturbance=("relock", "munlock"), pin=("mlock",))
    assert all({op.kind for worker in plan.workers for op in worker.ops} & {"relock", "munlock"} for plan in plans(request))
    for plan in plans(request):
        assert not {op.kind for worker in plan.control().workers for op in worker.ops} & {"relock", "munlock"}


def test_a_full_filesystem_is_more_or_less_full_unless_the_user_says_how_full() -> None:
    drawn = plans(wide(60, fault=("enospc",)))
    assert len({plan.faults[0].parameters["free_blocks"] for plan in drawn}) > 3
    asked = plans(wide(20, fault=("enospc:free_blocks=7",)))
    assert {plan.faults[0].parameters["free_blocks"] for plan in asked} == {7}


def test_some_crashes_strike_amid_the_work_and_then_nobody_waits_at_a_gate() -> None:
    drawn = plans(wide(80, fault=("power-cut",)))
    amid = [plan for plan in drawn if plan.faults[0].parameters]
    assert {name for plan in amid for name in plan.faults[0].parameters} == {"after_ms", "after_writes"}
    assert len(amid) < len(drawn) / 2
    assert not any(op.kind == "gate" for plan in amid for worker in plan.workers for op in worker.ops)
    once = plans(wide(20, fault=("enospc", "eio-once")))
    assert not any("after_ms" in plan.faults[0].parameters for plan in once)


def test_xfs_is_not_frozen_while_its_metadata_cannot_be_written() -> None:
    """It would wait for ever (docs/kernel-behaviour.md)."""

    def disturbances(fault: str) -> set[str]:
        drawn = plans(wide(60, fault=(fault,), filesystem=("xfs",)))
        return {op.kind for plan in drawn for worker in plan.workers for op in worker.ops}

    assert "freeze" not in disturbances("snapshot-full") | disturbances("eio-writes")
    assert "freeze" in disturbances("eio-data")


def test_plans_that_are_given_are_run_as_they_are() -> None:
    given = plans(wide(3))
    request = Request(plans=tuple(plan.to_json() for plan in given), control=False)
    items = draw(request)
    assert [item.plan for item in items if item.arm is not Arm.canary] == given
    assert {item.plan.filesystem for item in items} == {plan.filesystem for plan in given}


@pytest.mark.parametrize("name", sorted(DISTURBANCES))
def test_every_disturbance_can_be_asked_for(name: str) -> None:
    drawn = plans(wide(4, disturbance=(name,)))
    assert all(name in {op.kind for op in worker.ops} for plan in drawn for worker in plan.workers)

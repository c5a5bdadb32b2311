"""Drawing is pure and the same for the same seed; the default draw holds what its users need to see."""

from __future__ import annotations

import pytest

from torture.dimensions import DIMENSIONS
from torture.draw.arm import Arm
from torture.draw.matrix import Drawn, draw
from torture.draw.request import Request
from torture.plan import Plan


def drawn(**options: object) -> list[Drawn]:
    values = {name: options.pop(name) for name in DIMENSIONS if name in options}
    return draw(Request(values, **options))  # type: ignore[arg-type]


def kinds(plan: Plan) -> set[str]:
    return {op.kind for worker in plan.workers for op in worker.ops}


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    assert drawn(seed=3, count=5) == drawn(seed=3, count=5)
    assert drawn(seed=3, count=5) != drawn(seed=4, count=5)


def test_canaries_come_first_one_for_each_filesystem() -> None:
    items = drawn(filesystem=("xfs", "ext4"))
    assert [item.arm for item in items[:3]] == ["canary", "canary", "pinned"]


def test_every_pinned_plan_is_followed_by_its_control_arm() -> None:
    items = [item for item in drawn() if item.arm is not Arm.canary]
    for pinned, control in zip(items[::2], items[1::2], strict=True):
        assert (pinned.arm, control.arm) == ("pinned", "control")
        assert pinned.plan.control() == control.plan


def test_without_control_there_is_none() -> None:
    assert "control" not in {item.arm for item in drawn(control=False)}


def test_the_default_draw_touches_every_default_value_for_each_filesystem_and_fault() -> None:
    request = Request()
    for filesystem in request["filesystem"]:
        plans = [item.plan for item in drawn() if item.arm == "pinned" and item.plan.filesystem == filesystem]
        workers = [worker for plan in plans for worker in plan.workers]
        assert {worker.pin for worker in workers} == set(request["pin"])
        assert {worker.access for worker in workers} == set(request["access"])
        assert {op.name for worker in workers for op in worker.ops if op.kind == "sync"} == set(request["sync"])
        assert {plan.fault_names for plan in plans} == {"none", "enospc", "power-cut"}
        assert all({"store", "sync", "background"} <= kinds(plan) for plan in plans)


def test_pages_are_stored_again_after_a_sync_under_every_fault() -> None:
    for item in drawn():
        if item.arm == "pinned":
            assert any([op.kind for op in worker.ops].count("store") == 2 for worker in item.plan.workers)


def test_workers_of_one_file_own_different_pages() -> None:
    for item in drawn(workers=3):
        for file in item.plan.files:
            owned = [
                page
                for worker in item.plan.workers
                if worker.file == file.file
                for page in range(worker.first_page, worker.first_page + worker.pages)
            ]
            assert sorted(owned) == list(range(file.pages))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_named_dimensions_are_multiplied_out(workers: int) -> None:
    items = drawn(
        filesystem=("ext4",),
        layout=("hole",),
        pin=("mlock", "none"),
        access=("store",),
        sync=("msync", "fsync", "nothing"),
        fault=("none",),
        workers=workers,
        representative=False,
        control=False,
        canary=False,
    )
    seen = {(worker.pin, op.name) for item in items for worker in item.plan.workers for op in worker.ops if op.name}
    assert seen == {(pin, sync) for pin in ("mlock", "none") for sync in ("msync", "fsync")}
    assert sum(len(item.plan.workers) for item in items) == 2 * 3 * 2


def test_no_plan_is_drawn_twice() -> None:
    plans = [item.plan.identity for item in drawn(count=20)]
    assert len(plans) == len(set(plans))


def test_a_layout_the_filesystem_lacks_is_left_out_unless_it_is_all_that_was_asked_for() -> None:
    default = [item.plan for item in drawn(filesystem=("ext2",), canary=False)]
    assert {file.layout for plan in default for file in plan.files} == {"hole", "written"}
    asked = [item.plan for item in drawn(filesystem=("ext2",), layout=("reflinked",), canary=False)]
    assert {file.layout for plan in asked for file in plan.files} == {"reflinked"}

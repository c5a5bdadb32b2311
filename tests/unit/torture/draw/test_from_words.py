"""A plan from words is the plan that was meant, and a word that is none is refused with those there are."""

from __future__ import annotations

import pytest

from torture.draw.from_words import build, operations
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.plan import FaultSpec, Plan
from workloads.plan import Op


def test_a_reported_corruption_becomes_a_plan() -> None:
    values = {"filesystem": ("xfs",), "layout": ("hole", "unwritten"), "pin": ("mlock", "none"), "access": ("store",)}
    request = Request({**values, "fault": ("enospc:free_blocks=0",)}, pages=3, seed=7)
    plan = build(request, "store,sync fsync,store 1")
    assert plan.faults == (FaultSpec("enospc", {"free_blocks": 0}),) and plan.seed == 7
    assert Plan.from_json(plan.to_json()) == plan
    assert [file.pages for file in plan.files] == [6, 6]
    assert [(worker.file, worker.pin, worker.first_page) for worker in plan.workers] == [
        (1, "mlock", 0),
        (1, "none", 3),
        (2, "mlock", 0),
        (2, "none", 3),
    ]
    assert plan.workers[1].ops == (Op("store", 3, 3), Op("sync", name="fsync"), Op("store", 4, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store,jump", "operation 'jump' is unknown"),
        ("store,sync sometimes", "allowed are"),
        ("store 3+2", "outside"),
        ("store x", "PAGE"),
        ("sync msync", "stores nothing"),
    ],
)
def test_a_word_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        operations(text, 0, 4)


@pytest.mark.parametrize("layout", ["extended", "inline", "keep-size"])
def test_a_layout_whose_worker_must_be_alone_has_one(layout: str) -> None:
    def plan(*pins: str) -> Plan:
        values = {"filesystem": ("xfs",), "layout": ("hole", layout), "pin": pins, "access": ("store",)}
        return build(Request(values), "grow,store")

    assert len(plan("mlock").workers) == 2
    with pytest.raises(BadRequest, match=f"layout {layout} is for a file of one worker; give one --pin"):
        plan("mlock", "none")


def test_faults_together_are_one_after_the_other() -> None:
    plan = build(Request({"pin": ("mlock",), "fault": ("enospc+power-cut", "delay")}))
    assert [fault.name for fault in plan.faults] == ["enospc", "power-cut", "delay"]


def test_disturbances_and_gates_have_no_pages() -> None:
    assert operations("store, background, gate strike", 0, 1)[1:] == (Op("background"), Op("gate", name="strike"))

"""Worker plans are plain data, and their ranges make sense."""

import json
from dataclasses import asdict

import pytest

from workloads.generations import Generations, Run
from workloads.plan import Op, WorkerPlan

PLAN = WorkerPlan(
    worker=2,
    file=1,
    path="/mnt/f",
    first_page=8,
    pages=8,
    pin="mlock",
    access="read",
    ops=(Op("store", 8, 4), Op("background"), Op("gate", name="strike"), Op("sync", name="msync")),
)


def test_survives_json() -> None:
    assert WorkerPlan.from_dict(json.loads(json.dumps(asdict(PLAN)))) == PLAN


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError):
        WorkerPlan.from_dict({**asdict(PLAN), "colour": "red"})


@pytest.mark.parametrize(("first_page", "pages"), [(-1, 8), (0, 0), (9, 8), (0, 8)])
def test_a_worker_stores_to_its_own_pages_only(first_page: int, pages: int) -> None:
    values = {**asdict(PLAN), "first_page": first_page, "pages": pages}
    with pytest.raises(ValueError, match="worker 2"):
        WorkerPlan.from_dict(values)


def test_generations_rise_by_one_with_each_store() -> None:
    generations = Generations(10, 6)
    assert list(generations.raised(10, 6)) == [Run(10, 6, 1)]
    assert list(generations.raised(12, 2)) == [Run(12, 2, 2)]
    assert list(generations.raised(11, 4)) == [Run(11, 1, 2), Run(12, 2, 3), Run(14, 1, 2)]
    assert list(generations.raised(10, 6)) == [
        Run(10, 1, 2),
        Run(11, 1, 3),
        Run(12, 2, 4),
        Run(14, 1, 3),
        Run(15, 1, 2),
    ]

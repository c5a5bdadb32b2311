"""Worker plans are plain data, and generations rise."""

from verify import codec
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
    assert codec.decode(WorkerPlan, codec.encode(PLAN)) == PLAN


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

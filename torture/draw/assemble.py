"""A plan of combinations: the last step of every draw. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torture.draw.combination import Combination
from torture.draw.request import Request
from torture.plan import FaultSpec, FilePlan, Plan
from workloads.plan import Op, WorkerPlan


def assemble(
    request: Request,
    faults: tuple[FaultSpec, ...],
    seed: int,
    rows: Sequence[Sequence[Combination]],
    ops: Callable[[int, Combination], tuple[Op, ...]],
) -> Plan:
    """A plan with a file for each row, whose combinations are those of its workers; `ops` makes the operations of a worker,
    given its first page, and is called once for each in order."""
    files = tuple(
        FilePlan(number, f"{number}-{row[0]['layout']}", row[0]["layout"], request.pages * len(row))
        for number, row in enumerate(rows, 1)
    )
    placed = [
        (file, place * request.pages, combination)
        for file, row in zip(files, rows, strict=True)
        for place, combination in enumerate(row)
    ]
    workers = (
        WorkerPlan(
            worker=number,
            file=file.file,
            path=file.name,
            first_page=first_page,
            pages=request.pages,
            pin=combination["pin"],
            access=combination["access"],
            ops=ops(first_page, combination),
        )
        for number, (file, first_page, combination) in enumerate(placed, 1)
    )
    plan = Plan(
        seed=seed,
        filesystem=rows[0][0]["filesystem"],
        files=files,
        workers=tuple(workers),
        faults=faults,
        mkfs_options=request.mkfs_options,
        mount_options=request.mount_options,
        memlock_bytes=request.memlock_bytes,
        page_bytes=request.page_bytes,
    )
    for place, (_, _, combination) in enumerate(placed):
        plan = combination.put_into(plan, place)
    return plan

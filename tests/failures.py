"""Plans as small as a shrunk one, each with the finding it shows, for what is exported."""

from __future__ import annotations

from torture.plan import FaultSpec, FilePlan, Plan
from verify.finding import Finding, FindingKind, Promise
from workloads.plan import Op, WorkerPlan

PAGES = 8
STORE, BACKGROUND = Op("store", 0, PAGES), Op("background")


def sync(name: str) -> Op:
    """A sync of everything that a worker mapped."""
    return Op("sync", name=name)


def failure(
    filesystem: str,
    layout: str,
    fault: str = "none",
    *,
    kind: FindingKind = "lost",
    promise: Promise = "store",
    pin: str = "mlock",
    access: str = "store",
    ops: tuple[Op, ...] = (STORE, sync("msync")),
    reported: str | None = None,
) -> tuple[Plan, Finding]:
    """One file, one worker, one fault, and what came of it."""
    name = f"1-{layout}"
    worker = WorkerPlan(1, 1, name, 0, PAGES, pin, access, ops)
    plan = Plan(
        seed=1,
        filesystem=filesystem,
        files=(FilePlan(1, name, layout, PAGES),),
        workers=(worker,),
        faults=(FaultSpec(fault, {}),),
        page_bytes=4096,
    )
    finding = Finding(
        kind=kind,
        promise=promise,
        file=1,
        name=name,
        layout=layout,
        pin=pin,
        access=access,
        writer=1,
        first_page=0,
        pages=PAGES,
        sectors=0xFF,
        expected="generation 1",
        found="zeros",
        reported=reported,
        read="cold",
    )
    return plan, finding

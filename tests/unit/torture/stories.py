"""Small trials made by hand: a plan, the ledger and observations it would leave, and its record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torture.draw.arm import Arm
from torture.draw.matrix import draw
from torture.draw.request import Request
from torture.judge import Verdict
from torture.plan import FaultSpec, Plan
from torture.results.store import Trial
from torture.rig.record import LEDGER, Record
from verify import ledger
from verify.finding import Finding
from verify.ledger_file import LedgerWriter
from verify.observation import Size, write_observations
from verify.outcome import Outcome
from verify.stamp import Look, Span

PAGE = 4096
PAGES = 4


def plan(fault: str = "none", pin: str = "mlock") -> Plan:
    """One file with a hole, one worker."""
    request = Request({"filesystem": ("ext4",), "layout": ("hole",)}, workers=1, pages=PAGES, canary=False)
    drawn = draw(request)[0].plan
    workers = tuple(replace(worker, pin=pin) for worker in drawn.workers)
    return replace(drawn, faults=(FaultSpec(fault, {}),), workers=workers)


def leave(
    directory: Path,
    the_plan: Plan,
    *,
    record: Record,
    warm: Look = Look.OWN,
    cold: Look = Look.OWN,
    stored: bool = True,
    pin_errno: int = 0,
) -> None:
    """What a trial leaves that stored generation 1 in all pages and synced, then was read warm and cold."""
    run = the_plan.stamp_run
    with LedgerWriter(directory / LEDGER) as out:
        out.append(ledger.Begin(ledger.LEDGER_VERSION, run, PAGE, the_plan.identity))
        base = (ledger.Base(0, PAGES, "zero"),)
        out.append(ledger.File(1, "1-hole", PAGES * PAGE, "hole", "target", 1, base))
        out.append(ledger.Worker(1, 1, "mlock", "store", 0, PAGES))
        out.append(ledger.Pinned(1, pin_errno))
        if stored:
            out.append(ledger.Store(1, 1, 0, PAGES, 1, 0, PAGE))
            out.append(ledger.Stored(1, ()))
            out.append(ledger.Sync(1, "msync", (1,), 0, PAGES))
            out.append(ledger.Synced(1, 0))
    for read, look in (("warm", warm), ("cold", cold)):
        generation = 1 if look is Look.OWN else 0
        seen = Span(0, PAGES, look, generation, 1 if generation else 0)
        write_observations(directory / f"{read}-1.jsonl", [Size(PAGES * PAGE), seen])
    record.write(directory)


def ran(**fields: object) -> Record:
    """A record of a trial that went to its end."""
    proofs = [("none", True, "nothing to fire")]
    return Record(**{"state": "ran", "reason": "", "proofs": proofs, **fields})  # type: ignore[arg-type]


def finding(kind: str = "lost", pin: str = "mlock", **fields: object) -> Finding:
    """A finding on one page of a hole."""
    facts: dict[str, object] = {
        "promise": "store",
        "file": 1,
        "name": "1-hole",
        "layout": "hole",
        "access": "store",
        "writer": 1,
        "first_page": 0,
        "pages": 1,
        "sectors": 0xFF,
        "expected": "generation 1",
        "found": "zeros",
        "reported": None,
        "read": "cold",
    }
    return Finding(kind=kind, pin=pin, **{**facts, **fields})  # type: ignore[arg-type]


def trial(number: int, outcome: Outcome, *findings: Finding, arm: str = Arm.pinned, pin: str = "mlock") -> Trial:
    """A stored trial of the plan above."""
    the_plan = plan(pin="none" if arm == "control" else pin)
    return Trial(number, Arm(arm), the_plan, Verdict(outcome, "", findings), {"work": 1.0}, 1.5, "6.1", ("proof",))

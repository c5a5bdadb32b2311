"""Gates while a trial runs: who stops at which, how long they are waited for, and what the faults do meanwhile.

Where the gates of a drawn plan are is `torture.moments`'s business.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from torture.faults.base import Fault
from torture.moments import gate_names, is_strike
from torture.plan import Plan
from torture.scene import Scene
from workloads.plan import WorkerPlan
from workloads.worker import WorkerProcess


def all_gates(plan: Plan, faults: Sequence[Fault]) -> Iterator[str]:
    """Those that the faults know, in their order, then all others of the plan: nobody may wait at one for ever."""
    known = list(gate_names(max((fault.rounds for fault in faults), default=0)))
    yield from known
    ops = (op for spec in plan.workers for op in spec.ops)
    yield from dict.fromkeys(op.name for op in ops if op.kind == "gate" and op.name not in known)


def waits_at(spec: WorkerPlan, gate: str) -> bool:
    """Whether the worker stops at the gate."""
    return any(op.kind == "gate" and op.name == gate for op in spec.ops)


def assemble(gate: str, scene: Scene, patience_s: float) -> list[WorkerProcess]:
    """Wait until all who stop at the gate stand there, or are not waited for any longer; all of them, none if nobody
    stops there."""
    pairs = zip(scene.workers, scene.plan.workers, strict=True)
    gated = [process for process, spec in pairs if waits_at(spec, gate)]
    deadline = time.monotonic() + patience_s
    for process in gated:
        if not process.wait_gate(gate, max(0.0, deadline - time.monotonic())) and process.is_alive():
            scene.late.add(process.worker)
            scene.note(f"worker {process.worker} was not at gate {gate} after {patience_s:g} s")
    return gated


def turn(gate: str, scene: Scene, faults: Sequence[Fault]) -> None:
    """At any gate but the first: what heals does so, or strikes again."""
    for fault in faults:
        if fault.rounds and is_strike(gate):
            fault.strike(scene)
        elif fault.rounds:
            fault.heal(scene)

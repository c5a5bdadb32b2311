"""Where in the work of a drawn plan a fault strikes and heals: the gates among a worker's operations. Pure.

A gate stops the worker until the trial has let the fault strike (or heal). Without one a fault strikes before the first
store or after the last operation, or, with a parameter of TIMES, amid the work and at no gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from torture.faults.base import AFTER_MS, AFTER_WRITES, END, LATE, MIDDLE, START, Fault
from torture.plan import Plan
from workloads.plan import Op

STRIKE, HEAL = "strike", "heal"


def gate_names(rounds: int) -> Iterator[str]:
    """The gates of a trial in their order: strike, and for a fault that heals `rounds` times heal, strike-2, heal-2 ..."""
    yield STRIKE
    for turn in range(1, rounds + 1):
        yield HEAL if turn == 1 else f"{HEAL}-{turn}"
        if turn < rounds:
            yield f"{STRIKE}-{turn + 1}"


def is_strike(gate: str) -> bool:
    """Whether the fault strikes at this gate; at all others it heals."""
    return gate.startswith(STRIKE)


def with_gates(ops: Sequence[Op], fault: type[Fault], moment: str) -> tuple[Op, ...]:
    """The operations with the gates that let the fault strike at `moment` and heal before a further store and sync.

    After a heal only half of the pages are stored again: what the fault did to the others must not be covered up.
    """
    moment = START if fault.strikes_before_stores else moment
    struck = _struck(list(ops), moment, gated=not fault.strikes_before_stores)
    gates = list(gate_names(fault.rounds))[1:]
    if not gates:
        return tuple(struck)
    last = _last_store(struck)
    again = [op for op in struck[last:] if op.kind in ("store", "sync")]
    if moment == START and last > _first_store(struck):
        struck, gates = [*struck[:last], _gate(gates[0]), *_halved(struck[last:])], gates[1:]
    for gate in gates:
        struck += [_gate(gate), *(again if is_strike(gate) else _halved(again))]
    return tuple(struck)


def _halved(ops: Iterable[Op]) -> Iterator[Op]:
    """With the first half of the pages to store, where the operation says which."""
    for op in ops:
        yield replace(op, pages=op.pages // 2) if op.kind == "store" and op.pages > 1 else op


def readable_warm(plan: Plan, faults: Iterable[Fault | type[Fault]]) -> bool:
    """Whether the files can be read and judged before the unmount."""
    gated = any(op.kind == "gate" and op.name == STRIKE for worker in plan.workers for op in worker.ops)
    amid = any(spec.parameters.get(name) for spec in plan.faults for name in (AFTER_MS, AFTER_WRITES))
    return all(fault.readable_warm and not ((gated or amid) and fault.loses_later_writes) for fault in faults)


def _struck(ops: list[Op], moment: str, gated: bool) -> list[Op]:
    if moment == END or not gated:
        return ops
    places = {START: _first_store(ops), MIDDLE: _last_store(ops), LATE: _last_store(ops) + 1}
    place = places[moment]
    return [*ops[:place], _gate(STRIKE), *ops[place:]]


def _gate(name: str) -> Op:
    return Op("gate", name=name)


def _first_store(ops: Sequence[Op]) -> int:
    return next(place for place, op in enumerate(ops) if op.kind == "store")


def _last_store(ops: Sequence[Op]) -> int:
    return max(place for place, op in enumerate(ops) if op.kind == "store")

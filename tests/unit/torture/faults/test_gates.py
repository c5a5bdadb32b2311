"""Where gates go: a strike where it was asked for, a heal after it, and a store and sync after each heal."""

from __future__ import annotations

import pytest

from torture import faults
from torture.faults.base import Fault
from torture.faults.gates import gate_names, with_gates
from workloads.plan import Op

_SYNC = Op("sync", name="msync")
OPS = (Op("punch", 0, 8), Op("store", 0, 8), Op("background"), _SYNC, Op("store", 0, 8), _SYNC)


def words(fault: type[Fault], moment: str, ops: tuple[Op, ...] = OPS) -> str:
    """The first letter of each step; gates by name."""
    return " ".join(op.name if op.kind == "gate" else op.kind[:2] for op in with_gates(ops, fault, moment))


def a_fault(rounds: int = 0, strikes_before_stores: bool = False) -> type[Fault]:
    return type(
        "AFault", (Fault,), {"name": "a", "meaning": "", "rounds": rounds, "strikes_before_stores": strikes_before_stores}
    )


@pytest.mark.parametrize(
    ("moment", "steps"),
    [
        ("end", "pu st ba sy st sy"),
        ("start", "pu strike st ba sy st sy"),
        ("middle", "pu st ba sy strike st sy"),
        ("late", "pu st ba sy st strike sy"),
    ],
)
def test_a_fault_strikes_at_its_moment(moment: str, steps: str) -> None:
    assert words(a_fault(), moment) == steps


def test_after_a_heal_there_is_a_store_and_a_sync() -> None:
    assert words(a_fault(1), "start") == "pu strike st ba sy heal st sy"
    assert words(a_fault(1), "middle") == "pu st ba sy strike st sy heal st sy"
    assert words(a_fault(2), "middle") == "pu st ba sy strike st sy heal st sy strike-2 st sy heal-2 st sy"
    assert words(a_fault(1), "start", OPS[1:2]) == "strike st heal st"


@pytest.mark.parametrize("moment", ["start", "middle"])
def test_what_failed_is_not_covered_up_by_the_store_after_a_heal(moment: str) -> None:
    ops = with_gates(OPS, a_fault(2), moment)
    pages = [op.pages for op in ops if op.kind == "store"]
    assert pages == {"start": [8, 4, 8, 4], "middle": [8, 8, 4, 8, 4]}[moment]


def test_a_fault_that_strikes_first_has_no_gate_to_strike_at() -> None:
    assert words(a_fault(strikes_before_stores=True), "end") == "pu st ba sy st sy"
    assert words(a_fault(1, strikes_before_stores=True), "end") == "pu st ba sy heal st sy"


def test_gates_have_an_order() -> None:
    assert list(gate_names(0)) == ["strike"]
    assert list(gate_names(2)) == ["strike", "heal", "strike-2", "heal-2"]


@pytest.mark.parametrize("fault", faults.FAULTS.values(), ids=list(faults.FAULTS))
def test_every_fault_strikes_somewhere(fault: type[Fault]) -> None:
    assert fault.moments and set(fault.moments) <= {"start", "middle", "late", "end"}
    for moment in fault.moments:
        gates = [op.name for op in with_gates(OPS, fault, moment) if op.kind == "gate"]
        assert ("strike" in gates) == (moment != "end" and not fault.strikes_before_stores)
        assert len([gate for gate in gates if gate.startswith("heal")]) == fault.rounds

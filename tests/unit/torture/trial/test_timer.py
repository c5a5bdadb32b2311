"""A fault is due after the first accepted store, by time or by writes of the device, whatever comes first."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from torture.errors import BadRequest
from torture.faults import make
from torture.plan import FaultSpec
from torture.rig.scene import Scene
from torture.trial import timer
from torture.trial.timer import Timer
from verify.ledger import Store, Stored
from verify.ledger_file import LedgerWriter


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many writes the device has completed: its only element."""
    count = [7]
    monkeypatch.setattr(timer, "writes_completed", lambda device: count[0])
    return count


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    ledger_path = tmp_path / "ledger"
    ledger_path.touch()
    device = SimpleNamespace(is_block_device=lambda: True)
    return cast(Scene, SimpleNamespace(ledger_path=ledger_path, block_device=device))


def store(scene: Scene) -> None:
    with LedgerWriter(scene.ledger_path) as writer:
        writer.append(Store(1, 1, 0, 1, 1, 0, 4096, False))
        writer.append(Stored(1, ()))


def test_nothing_is_due_before_a_store_was_accepted(scene: Scene, written: list[int]) -> None:
    fault = make(FaultSpec("power-cut", {"after_writes": 2}))
    clock = Timer(scene)
    written[0] += 5
    assert Timer.has(fault) and not clock.is_due(fault)
    written[0] += 5
    store(scene)
    assert not clock.is_due(fault), "writes before the first store do not count"
    written[0] += 2
    assert clock.is_due(fault) and "2 writes after the first store" in str(clock)


def test_the_time_runs_from_the_first_store(scene: Scene, written: list[int]) -> None:
    fault = make(FaultSpec("power-cut", {"after_ms": 20, "after_writes": 1000}))
    clock = Timer(scene)
    store(scene)
    assert not clock.is_due(fault)
    time.sleep(0.03)
    assert clock.is_due(fault)


def test_a_fault_without_a_time_waits_for_its_gate() -> None:
    assert not Timer.has(make(FaultSpec("power-cut", {}))) and not Timer.has(make(FaultSpec("enospc", {})))
    with pytest.raises(BadRequest, match="no parameter after_ms"):
        make(FaultSpec("eio-writes", {"after_ms": 5}))

"""Faults that only plans made for them name: known by name, taken by no draw."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from torture.dimensions import ALL, DIMENSIONS
from torture.faults import FAULTS, UNDRAWN, fault_class
from torture.faults.undrawn import frozen
from torture.faults.undrawn.frozen import Frozen
from torture.faults.undrawn.grown import Grown
from torture.plan import FilePlan
from verify.ledger import Resize, Stored, Thawed
from verify.ledger_file import LedgerWriter, read_ledger
from workloads import libc


def test_no_draw_takes_them() -> None:
    assert not set(FAULTS) & set(UNDRAWN)
    faults = DIMENSIONS["fault"]
    assert not {*faults.whole, *faults.choose((ALL,), ())} & set(UNDRAWN)
    assert all(fault_class(name).name == name for name in UNDRAWN)


def test_files_that_end_within_a_page_are_extended_after_the_remount(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for name, size_bytes in (("whole", 8192), ("straddling", 5000)):
        (files / name).write_bytes(b"x" * size_bytes)
    planned = tuple(FilePlan(number, name, "", 2) for number, name in enumerate(("whole", "straddling", "lost"), 1))
    plan = SimpleNamespace(files=planned, page_bytes=4096)
    with LedgerWriter(tmp_path / "ledger") as writer:
        Grown({}).remounted(cast(Any, SimpleNamespace(plan=plan, files_directory=files, ledger=writer)))
    assert (files / "straddling").read_bytes() == b"x" * 5000 + bytes(3192)
    assert list(read_ledger(tmp_path / "ledger")) == [Resize(-2, 2, 8192)]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of a kernel that freezes and thaws at once and writes nothing."""
    asked: list[str] = []
    monkeypatch.setattr(libc, "freeze", lambda descriptor: asked.append("freeze"))
    monkeypatch.setattr(libc, "thaw", lambda descriptor: asked.append("thaw"))
    monkeypatch.setattr(frozen, "block_stat", lambda device: (0,) * 8)
    monkeypatch.setattr(frozen, "_TIMEOUT_S", 0.2)
    return asked


def freeze(directory: Path, monkeypatch: pytest.MonkeyPatch, blocked: set[int]) -> tuple[Frozen, list[object]]:
    """The fault after two workers, processes 11 and 12, of which the second stored meanwhile; and the ledger."""
    monkeypatch.setattr(frozen, "blocked_among", lambda pids: frozenset(set(pids) & blocked))
    path = directory / "ledger"
    with LedgerWriter(path) as writer, ExitStack() as running:
        facts = {"mount_point": directory, "ledger_path": path, "ledger": writer, "running": running, "block_device": path}
        workers = [SimpleNamespace(worker=number, pid=10 + number) for number in (1, 2)]
        scene = cast(Any, SimpleNamespace(workers=workers, **facts))
        fault = Frozen({})
        fault.strike(scene)
        writer.append(Stored(2, ()))
        fault.while_working(scene)
    return fault, list(read_ledger(path))


def test_it_is_thawed_when_each_worker_waits_or_has_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: list[str]
) -> None:
    fault, records = freeze(tmp_path, monkeypatch, {11})
    assert kernel == ["freeze", "thaw"]
    assert records == [Stored(2, ()), Thawed(0)]
    assert fault.proof(cast(Any, None)).fired


def test_a_worker_of_which_nothing_was_seen_leaves_it_unproven_and_thawed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: list[str]
) -> None:
    fault, _ = freeze(tmp_path, monkeypatch, set())
    assert kernel == ["freeze", "thaw"]
    proof = fault.proof(cast(Any, None))
    assert not proof.fired and proof.evidence.startswith("1 workers")

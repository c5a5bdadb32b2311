"""Faults that only plans made for them name: known by name, taken by no draw."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from torture.draw.request import choose_faults, whole_space
from torture.faults import FAULTS, UNDRAWN, fault_class
from torture.faults.grown import Grown
from torture.plan import FilePlan
from verify.ledger import LedgerWriter, Resize, read_ledger


def test_no_draw_takes_them() -> None:
    assert not set(FAULTS) & set(UNDRAWN)
    drawn = {spec.name for spec in (*whole_space().faults, *choose_faults(("all",)))}
    assert not drawn & set(UNDRAWN)
    assert all(fault_class(name).name == name for name in UNDRAWN)


def test_files_that_end_within_a_page_are_extended_after_the_remount(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for name, size_bytes in (("whole", 8192), ("straddling", 5000)):
        (files / name).write_bytes(b"x" * size_bytes)
    planned = tuple(FilePlan(number, name, "", 2) for number, name in enumerate(("whole", "straddling", "lost"), 1))
    plan = SimpleNamespace(files=planned, page_bytes=4096)
    with LedgerWriter(tmp_path / "ledger") as writer:
        Grown({}).remounted(cast(Any, SimpleNamespace(plan=plan, mount_point=tmp_path, ledger=writer)))
    assert (files / "straddling").read_bytes() == b"x" * 5000 + bytes(3192)
    assert list(read_ledger(tmp_path / "ledger")) == [Resize(-2, 2, 8192)]

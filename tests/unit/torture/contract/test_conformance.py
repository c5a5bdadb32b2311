"""Gathering columns from guests, some of which are lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.unit.torture import fake_lab
from torture.contract.conformance import Conformance
from torture.contract.table import Column
from torture.contract.verdict import Entry, Verdict
from torture.errors import BrokenTool
from torture.lab.base import GuestLost

ENTRY = Entry(1, "hole", "mlock", Verdict.holds, "fine")


class FakeGuest(fake_lab.FakeGuest):
    """Leaves one entry for every filesystem but `hang`, which it does not survive."""

    ended = False

    def contract(self, filesystem: str, directory: Path, on_phase: Callable[[str], None]) -> None:
        assert not self.ended
        (directory / "entries.jsonl").write_text(ENTRY.to_json() + "\n")
        if filesystem == "hang":
            raise GuestLost("no answer", "freeze", directory, hung=True, evidence="D state")

    def end(self) -> None:
        self.ended = True


class FakeLab(fake_lab.FakeLab):
    """Boots guests, and counts them; `boots` False if none comes up."""

    def __init__(self, kernel: str, boots: bool = True) -> None:
        super().__init__(lambda plan: 0)
        self.kernel, self.boots = kernel, boots
        self.guests: list[FakeGuest] = []

    def boot(self, index: int) -> FakeGuest:
        if not self.boots:
            raise GuestLost("nothing", "", Path("console"))
        self.guests.append(FakeGuest(self, kernel=self.kernel))
        return self.guests[-1]


def test_columns_come_in_the_order_asked_for_whoever_carries_them_out(tmp_path: Path) -> None:
    labs = {"a": FakeLab("6.1"), "b": FakeLab("6.2")}
    columns = _run(labs, ("xfs", "ext4", "btrfs"), tmp_path, jobs=3)
    assert [(column.release, column.filesystem) for column in columns] == [
        (release, name) for release in ("6.1", "6.2") for name in ("xfs", "ext4", "btrfs")
    ]
    assert all(ENTRY in column.entries for column in columns)
    assert all(guest.ended for lab in labs.values() for guest in lab.guests)


def test_a_kernel_keeps_its_guest(tmp_path: Path) -> None:
    lab = FakeLab("6.1")
    _run({"a": lab}, ("xfs", "ext4"), tmp_path)
    assert len(lab.guests) == 1


def test_a_guest_that_hangs_costs_its_column_only(tmp_path: Path) -> None:
    lab = FakeLab("6.1")
    hung, fine = _run({"a": lab}, ("hang", "ext4"), tmp_path)
    assert len(lab.guests) == 2
    unknown = next(entry for entry in hung.entries if entry != ENTRY)
    assert unknown.verdict is Verdict.unknown
    assert "no answer in phase freeze" in unknown.words and "D state" in unknown.words
    assert ENTRY in hung.entries and ENTRY in fine.entries


def test_a_kernel_that_does_not_boot_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(BrokenTool):
        _run({"a": FakeLab("6.1", boots=False)}, ("xfs",), tmp_path)


def _run(labs: Mapping[str, FakeLab], filesystems: tuple[str, ...], directory: Path, jobs: int = 1) -> list[Column]:
    return Conformance(dict(labs), filesystems, directory, jobs).run()

"""Gathering columns from the guests of a campaign, some of which are lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.torture import fake_lab
from torture.campaign.run_config import RunConfig
from torture.campaign.run_directory import RunDirectory
from torture.contract.conformance import carry_out
from torture.contract.table import Column
from torture.contract.trials import CASES
from torture.contract.verdict import ClauseVerdict
from torture.draw.request import Request
from torture.errors import BrokenTool
from torture.lab.base import GuestLost, Lab
from torture.plan import Plan
from torture.results.store import Store
from torture.rig.record import Record

LOSING = "ext2"
"""A filesystem whose trials no guest survives."""


class FakeGuest(fake_lab.FakeGuest):
    """Leaves a record that nothing could be run."""

    def run(self, plan: Plan, directory: Path, on_phase: Callable[[str], None]) -> None:
        if plan.filesystem == LOSING:
            raise GuestLost("no answer", "work", directory, hung=True, evidence="D state")
        Record(state="notrun", reason="fake", kernel=self.kernel).write(directory)


class FakeLab(fake_lab.FakeLab):
    """Boots guests, and keeps them; `boots` False if none comes up."""

    def __init__(self, kernel: str, boots: bool = True) -> None:
        super().__init__(lambda plan: 0)
        self.kernel, self.boots = kernel, boots
        self.guests: list[FakeGuest] = []

    def boot(self, index: int) -> FakeGuest:
        if not self.boots:
            raise GuestLost("nothing", "", Path("console"))
        self.guests.append(FakeGuest(self, kernel=self.kernel))
        return self.guests[-1]


def run(labs: dict[str, Lab], filesystems: tuple[str, ...], directory: Path, jobs: int = 1) -> list[Column]:
    config = RunConfig(request=Request(), results=directory, scratch=directory, jobs=jobs)
    with Store(directory, create=True) as store:
        return carry_out(RunDirectory(config, directory, labs, store), filesystems)


def test_columns_come_in_the_order_asked_for_whoever_carries_them_out(tmp_path: Path) -> None:
    labs: dict[str, Lab] = {"a": FakeLab("6.1"), "b": FakeLab("6.2")}
    columns = run(labs, ("xfs", "ext4", "btrfs"), tmp_path, jobs=3)
    assert [(column.kernel, column.release, column.filesystem) for column in columns] == [
        (kernel, release, name) for kernel, release in (("a", "6.1"), ("b", "6.2")) for name in ("xfs", "ext4", "btrfs")
    ]
    assert all(len(column.entries) == len(CASES) for column in columns)
    assert {entry.verdict for column in columns for entry in column.entries} == {ClauseVerdict.notrun}


def test_a_kernel_keeps_its_guest(tmp_path: Path) -> None:
    lab = FakeLab("6.1")
    run({"a": lab}, ("xfs", "ext4"), tmp_path)
    assert len(lab.guests) == 1


def test_a_guest_that_hangs_costs_its_trial_only(tmp_path: Path) -> None:
    lost, fine = run({"a": FakeLab("6.1")}, (LOSING, "ext4"), tmp_path)
    unknown = [entry for entry in lost.entries if entry.verdict is ClauseVerdict.unknown]
    assert unknown
    assert all("no answer in phase work" in entry.words and "D state" in entry.words for entry in unknown)
    assert {entry.verdict for entry in fine.entries} == {ClauseVerdict.notrun}


def test_what_a_filesystem_cannot_do_says_why(tmp_path: Path) -> None:
    (column,) = run({"a": FakeLab("6.1")}, ("ext2",), tmp_path)
    words = {entry.words for entry in column.entries if entry.clause == 8}
    assert words == {"ext2 has no reflink, which layout reflinked needs"}
    (tmp_path / "second").mkdir()
    (volatile,) = run({"a": FakeLab("6.1")}, ("tmpfs",), tmp_path / "second")
    assert {entry.words for entry in volatile.entries} == {"nothing survives its unmount"}


def test_a_kernel_that_does_not_boot_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(BrokenTool):
        run({"a": FakeLab("6.1", boots=False)}, ("xfs",), tmp_path)

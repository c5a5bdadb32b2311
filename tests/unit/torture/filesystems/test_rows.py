"""The rows: what each filesystem may be asked for, and that nobody asks for what a row does not claim."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from devicemapper import tools
from torture import faults
from torture.errors import NotRun
from torture.faults import FAULTS
from torture.faults.limits import oom_kill
from torture.filesystems import FILESYSTEMS, USUAL
from torture.filesystems.base import FEATURES, Check, Filesystem
from torture.plan import FaultSpec, FilePlan, Plan
from torture.rig import machine, quota
from torture.rig.machine import Machine
from torture.trial import requirements
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.plan import Op, WorkerPlan

MACHINE = Machine(Path("disk"), Path("work"), "run", True, spares=(Path("a"), Path("b")), expendable=True)
TOY = Filesystem("toyfs", ("true",), Check(("true",)), package="coreutils", size_mib=64)
"""A copy-on-write filesystem that nobody knows anything about yet."""

HARMLESS = {
    *("none", "enospc", "enospc-fragmented", "enospc-race", "thin-queue", "fsize-limit", "memlock-limit", "delay"),
    *("kill-workers", "oom-kill", "lying-disk", "stale-disk"),
}
"""Faults that rely on nothing but what POSIX says of a filesystem that stays mounted, or of a whole disk that is old."""
EXTENDED = {"ext2", "ext3", "ext4"}
STRUCK = {
    "eio-data": EXTENDED | {"xfs"},
    "eio-flapping": EXTENDED | {"xfs"},
    "eio-reads": EXTENDED | {"xfs", "f2fs"},
    "dust": EXTENDED | {"xfs", "f2fs"},
    "corrupt-byte": EXTENDED | {"xfs", "f2fs"},
    "corrupt-bio": EXTENDED | {"xfs"},
    "edquot-user": {"ext4", "xfs", "f2fs"},
    "edquot-project": {"ext4", "xfs"},
    "enospc-metadata": EXTENDED | {"xfs", "btrfs"},
    "shutdown": {"ext3", "ext4", "xfs", "f2fs"},
    "power-cut": EXTENDED | {"xfs", "btrfs", "f2fs", "reiserfs"},
    "replay": {"ext3", "ext4", "xfs", "btrfs", "f2fs", "reiserfs"},
}


@pytest.fixture(autouse=True)
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that has everything: what is missing is missing in the row."""
    monkeypatch.setattr(requirements, "filesystem_missing", lambda row, modules: "")
    monkeypatch.setattr(requirements, "target_missing", lambda target, machine: "")
    monkeypatch.setattr(oom_kill, "hierarchy", lambda: SimpleNamespace(version=2))
    monkeypatch.setattr(quota, "load_module", lambda name, modules: None)
    monkeypatch.setattr(quota, "_kernel_keeps", lambda wanted: True)


def reason(row: Filesystem, fault: str = "none", layout: str = "hole", step: str = "") -> str:
    """Why a plan is `notrun`, "" if it may run."""
    ops = (Op("store", 0, 8), *([Op(step, 0, 8)] if step else []))
    worker = WorkerPlan(1, 1, "f", 0, 8, "mlock", "store", ops)
    plan = Plan(1, row.name, (FilePlan(1, "f", layout, 8),), (worker,), (FaultSpec(fault, {}),), memlock_bytes=-1)
    try:
        requirements.check(plan, row, [faults.make(spec) for spec in plan.faults], MACHINE)
    except NotRun as refusal:
        return str(refusal)
    return ""


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_strikes_what_a_row_does_not_claim(fault: str) -> None:
    said = reason(TOY, fault)
    assert said.startswith("toyfs ") is (fault not in HARMLESS) and bool(said) is (fault not in HARMLESS), said


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_relies_on_what_a_row_does_not_claim(layout: str) -> None:
    needs = LAYOUTS[layout].needs
    assert reason(TOY, layout=layout) == (f"toyfs {FEATURES[needs]}, which layout {layout} needs" if needs else "")


@pytest.mark.parametrize("step", DISTURBANCES)
def test_no_disturbance_relies_on_what_a_row_does_not_claim(step: str) -> None:
    needs = DISTURBANCES[step].needs
    assert reason(TOY, step=step) == (f"toyfs {FEATURES[needs]}, which disturbance {step} needs" if needs else "")


def test_nothing_waits_for_metadata_that_may_be_refused_for_ever() -> None:
    frozen = replace(TOY, features=frozenset({"freeze", "journal"}))
    assert "may try for ever" in reason(frozen, "eio-writes", step="freeze")
    assert not reason(replace(frozen, features=frozen.features | {"gives-up"}), "eio-writes", step="freeze")


def test_a_quota_that_limits_no_user_is_no_user_quota() -> None:
    assert "subvolume" in FILESYSTEMS["btrfs"].quotas and "no quotas of this kind" in reason(
        FILESYSTEMS["btrfs"], "edquot-user"
    )


@pytest.mark.parametrize("fault", STRUCK)
def test_what_each_fault_may_strike(fault: str) -> None:
    assert {row.type for row in FILESYSTEMS.values() if not reason(row, fault)} == STRUCK[fault]


def test_a_row_claims_what_is_known() -> None:
    with pytest.raises(ValueError, match="toyfs claims what is no feature: in-plaice"):
        replace(TOY, features=frozenset({"in-plaice"}))
    needed = {layout.needs for layout in LAYOUTS.values()} | {each.needs for each in DISTURBANCES.values()}
    needed |= {need for fault in FAULTS.values() for need in fault.needs}
    assert needed - {""} <= FEATURES.keys()


def test_the_usual_filesystems_and_their_order() -> None:
    assert USUAL == ("ext4", "xfs", "btrfs", "f2fs", "ext2", "jfs")
    assert list(FILESYSTEMS)[:9] == ["ext4", "ext3", "ext2", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "tmpfs"]
    assert all(":" in name for name in list(FILESYSTEMS)[9:])


def test_a_missing_program_names_the_package_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find", lambda program: None if program == "e2fsck" else Path(program))
    said = machine.filesystem_missing(FILESYSTEMS["ext2"], "")
    assert said == "e2fsck is not installed (Debian package e2fsprogs)"

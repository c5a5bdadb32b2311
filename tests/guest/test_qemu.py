"""The `qemu` lab with a stock kernel, by emulation where there is no KVM: it keeps data, and a lying disk is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.command_line import Run
from torture.lab.qemu import QemuLab

pytestmark = pytest.mark.guest

Torture = Callable[..., Run]


@pytest.fixture(autouse=True)
def available(tmp_path: Path) -> None:
    """`make qemu` brings everything."""
    lab = QemuLab("probe", tmp_path, tmp_path)
    if reason := lab.unavailable():
        pytest.skip(f"the qemu lab cannot run: {reason}")


def test_a_stock_kernel_keeps_what_it_accepted(torture: Torture) -> None:
    faults = ("--fault", "none", "--fault", "enospc", "--fault", "power-cut", "--fault", "killed-guest")
    plain = ("--fs", "ext4", "--layout", "hole", "--pin", "mlock", "--sync", "msync", "--no-control")
    run = torture("--lab", "qemu", "--jobs", "1", *plain, *faults)
    assert run.outcomes(arm="canary") == {("ext4", "lying-disk"): {"pass"}}
    assert run.outcomes() == {
        ("ext4", fault): {"pass"} for fault in ("lying-disk", "none", "enospc", "power-cut", "killed-guest")
    }
    assert run.exit_code == 0

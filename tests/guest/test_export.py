"""What is exported reproduces in a bare guest without the tool, and does not on a healthy kernel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from bare import PACKAGED_KERNEL, boot
from failures import BACKGROUND, STORE, failure, sync

from torture.export.c import write_c
from torture.export.recipe import recipe
from torture.plan import Plan
from verify.finding import Finding

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(
        not shutil.which(PACKAGED_KERNEL), reason="linux.uml is not installed (Debian package user-mode-linux)"
    ),
]

MSYNC = sync("msync")
MUTANTS = {
    1: failure("xfs", "hole"),
    2: failure("xfs", "hole", pin="map-locked", access="read"),
    5: failure("xfs", "written", "power-cut", promise="sync", ops=(STORE, MSYNC, STORE, MSYNC)),
    6: failure("xfs", "hole", "enospc", promise="sync", ops=(STORE, BACKGROUND, MSYNC)),
    10: failure("xfs", "unwritten", promise="sync"),
    15: failure("xfs", "reflinked", kind="clone-changed", promise="isolation"),
}
LATE = {
    name: failure(name, "hole", "enospc", kind="late", reported="msync ENOSPC", access=access)
    for name, access in (("ext2", "store"), ("jfs", "process-vm-writev"))
}
HEALTHY = {
    "ext4": failure("ext4", "hole", "enospc", ops=(STORE, BACKGROUND, MSYNC, STORE, MSYNC)),
    "btrfs": failure("btrfs", "alternating", "power-cut", promise="sync", ops=(STORE, MSYNC, STORE)),
    "ext3": failure("ext3", "straddling", "eio-writes", promise="sync", access="store-unaligned"),
}


def _exported(case: tuple[Plan, Finding], directory: Path) -> None:
    """The program compiled on the host, as the guest may have no compiler."""
    write_c(recipe(*case), directory)
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", directory / "reproduce", directory / "reproduce.c"]
    subprocess.run(command, check=True)


def _run_all(
    directory: Path, cases: dict[str, tuple[Plan, Finding]], kernel: str, *arguments: str
) -> dict[str, tuple[int, str]]:
    """Exit status and output of each exported script, all run in one guest."""
    lines = []
    for name, case in cases.items():
        _exported(case, directory / name)
        lines.append(f"sh {name}/reproduce.sh /dev/ubda >{name}/said 2>&1; echo {name} $?")
    output = boot(directory, "\n".join(lines), kernel=kernel, arguments=arguments)
    results = dict(line.split() for line in output.splitlines())
    return {name: (int(results[name]), (directory / name / "said").read_text()) for name in cases}


def test_stock_ext2_and_jfs_are_late_and_others_keep_what_they_accepted(tmp_path: Path) -> None:
    seen = _run_all(tmp_path, {**LATE, **HEALTHY}, PACKAGED_KERNEL)
    assert {name: status for name, (status, _) in seen.items()} == {
        **dict.fromkeys(LATE, 1),
        **dict.fromkeys(HEALTHY, 0),
    }, seen
    assert all("  expected 463031" in seen[name][1] for name in LATE)  # "F01", the pattern of file 1


def test_a_healthy_kernel_reproduces_nothing(tmp_path: Path, mutants: str) -> None:
    cases = {f"mutant-{number}": case for number, case in MUTANTS.items()}
    seen = _run_all(tmp_path, cases, mutants, "mutant=0")
    assert {status for status, _ in seen.values()} == {0}, seen


@pytest.mark.parametrize("number", MUTANTS)
def test_a_kernel_with_a_known_bug_reproduces_it(tmp_path: Path, mutants: str, number: int) -> None:
    seen = _run_all(tmp_path, {"case": MUTANTS[number]}, mutants, f"mutant={number}")
    assert seen["case"][0] == 1, seen

"""What is exported reproduces in a bare guest without the tool, and does not on a healthy kernel."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.failures import BACKGROUND, STORE, failure, sync
from tests.guest.bare import PACKAGED_KERNEL, boot
from torture.export.c import write_c
from torture.export.exportable import Exportable
from torture.export.fstests import HELPER, NUMBER, write_fstests
from torture.plan import Plan
from verify.finding import Finding

STAND_IN = Path(__file__).with_name("fstests")

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
    18: failure("ext2", "hole", "enospc", promise="sync", ops=(STORE, BACKGROUND, MSYNC)),
    20: failure("xfs", "hole", "replay", promise="sync", ops=(STORE, sync("fsync"))),
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


FSTESTS = {
    5: {"today": (MUTANTS[5], False), "old": (MUTANTS[5], True)},
    15: {"clone": (MUTANTS[15], False)},
}
"""By mutant and name: what is exported for fstests, and whether for an older tree."""
GOLDEN = f"QA output created by {NUMBER}\nSilence is golden\n"


@dataclass
class Guest:
    """One guest to be; `add` and `add_fstests` export into its directory what `boot` runs."""

    directory: Path
    script: str = "mkdir /run/mnt\n"

    def add(self, name: str, case: tuple[Plan, Finding]) -> None:
        """A C program, compiled on the host, as the guest may have no compiler."""
        write_c(Exportable.of(*case), self.directory / name)
        _compile(self.directory / name / "reproduce")
        disks = "/dev/ubda /dev/ubdb" if case[0].fault_names == "replay" else "/dev/ubda"
        self.script += f"sh {name}/reproduce.sh {disks} >{name}/said 2>&1; echo $? >{name}/status\n"

    def add_fstests(self, name: str, case: tuple[Plan, Finding], old: bool) -> None:
        """A test, in a tree with a stand-in for what fstests has."""
        tree = self.directory / name
        shutil.copytree(STAND_IN, tree)
        write_fstests(Exportable.of(*case), tree, old=old)
        assert (tree / "tests/generic" / f"{NUMBER}.out").read_text() == GOLDEN
        _compile(tree / "src" / HELPER)
        place = f"FSTYP=xfs SCRATCH_DEV=/dev/ubda SCRATCH_MNT=/run/mnt RESULT_DIR=. TREE={'old' if old else 'today'}"
        self.script += f"(cd {name}; {place} bash ./tests/generic/{NUMBER} >said 2>&1; echo $? >status)\n"

    def boot(self, kernel: str, *arguments: str) -> dict[str, tuple[int, str]]:
        """Exit status and output of each."""
        boot(self.directory, self.script, kernel=kernel, arguments=arguments)
        ran = sorted(path.parent for path in self.directory.glob("*/status"))
        return {home.name: (int((home / "status").read_text()), (home / "said").read_text()) for home in ran}


def _compile(program: Path) -> None:
    flags = ["-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", program, program.with_suffix(".c")], check=True)


def test_stock_ext2_and_jfs_are_late_and_others_keep_what_they_accepted(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    for name, case in {**LATE, **HEALTHY}.items():
        guest.add(name, case)
    seen = guest.boot(PACKAGED_KERNEL)
    assert {name: status for name, (status, _) in seen.items()} == {
        **dict.fromkeys(LATE, 1),
        **dict.fromkeys(HEALTHY, 0),
    }, seen
    assert all('  "F01P' in seen[name][1] for name in LATE)


def test_a_healthy_kernel_reproduces_nothing(tmp_path: Path, mutants: str) -> None:
    guest = Guest(tmp_path)
    for number, case in MUTANTS.items():
        guest.add(f"mutant-{number}", case)
    for exported in FSTESTS.values():
        for name, (case, old) in exported.items():
            guest.add_fstests(name, case, old)
    seen = guest.boot(mutants, "mutant=0")
    programs = {name: (0, "not reproduced\n") for name in seen if name.startswith("mutant-")}
    assert len(programs) == len(MUTANTS)
    assert seen == {**programs, **dict.fromkeys(("today", "old", "clone"), (0, GOLDEN))}


@pytest.mark.parametrize("number", MUTANTS)
def test_a_kernel_with_a_known_bug_reproduces_it(tmp_path: Path, mutants: str, number: int) -> None:
    guest = Guest(tmp_path)
    guest.add("program", MUTANTS[number])
    for name, (case, old) in FSTESTS.get(number, {}).items():
        guest.add_fstests(name, case, old)
    seen = guest.boot(mutants, f"mutant={number}")
    assert seen.pop("program")[0] == 1
    assert set(seen) == set(FSTESTS.get(number, {}))
    for status, said in seen.values():
        assert status == 0 and said != GOLDEN and " is wrong\n  expected " in said

"""The conformance table on real kernels: the packaged one, and those with a known bug."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.guest.command_line import TORTURE

pytestmark = pytest.mark.guest

TIMEOUT_S = 900
ALL_CLAUSES = range(1, 17)
LIVENESS = 17
"""Of a pin that cannot be read: stock 6.1 breaks it wherever it can be tried, with a pin only."""
NO_RESERVATION = {3: "late", 4: "late", 9: "broken", 11: "late", 12: "late", 16: "broken"}
STOCK = {
    "ext4": {9: "broken"},
    "ext3": {9: "broken"},
    "ext2": NO_RESERVATION,
    "xfs": {},
    "btrfs": {6: "differs"},
    "f2fs": {9: "broken"},
    "jfs": NO_RESERVATION,
    "reiserfs": NO_RESERVATION,
}
"""What stock 6.1 does that is not simply right; docs/contract.md traces each to the kernel."""


@dataclass(frozen=True)
class Bug:
    """What a bug of the mutant kernel breaks on xfs: `named` in advance, `follows` because stores are lost at all.

    `pin_only`: the control arm must not show it.
    """

    named: frozenset[int]
    follows: frozenset[int] = frozenset()
    pin_only: bool = False


ASKED = frozenset({3, 4, 5, 7, 8, 10, 11, 12, 14, 15, 16})
MUTANTS = {
    1: Bug(ASKED),  # page_mkwrite is never called: whatever depends on the filesystem being asked
    2: Bug(ASKED, pin_only=True),  # the same, where mlock's read fault mapped the page
    5: Bug(frozenset({7, 11, 12, 14})),  # a page stays writable after writeback: every second store
    6: Bug(frozenset({3, 4, 11, 12, 16})),  # ENOSPC is swallowed in the fault: whatever has a full filesystem
    10: Bug(frozenset({4, 5, 6, 7, 16}), ASKED | {9}),  # extents stay unwritten: xfs allocates all as unwritten
    15: Bug(frozenset({8})),  # sharing is ignored in the fault
    18: Bug(frozenset({13})),  # fsync and msync forget a writeback error
    25: Bug(frozenset({1}), pin_only=True),  # mlock write-faults
}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    """The exit code and, by filesystem, the columns of the packaged kernel."""
    words = (word for name in STOCK for word in ("--fs", name))
    code, document = _contract(tmp_path_factory.mktemp("packaged"), *words)
    return code, {column["filesystem"]: column for column in document["columns"]}


def test_the_packaged_kernel_does_what_is_written_down(packaged: tuple[int, dict[str, Any]]) -> None:
    code, found = packaged
    for name, deviations in STOCK.items():
        verdicts = found[name]["verdicts"]
        for clause in ALL_CLAUSES:
            pinned, control = (verdicts[str(clause)][arm] for arm in ("pinned", "control"))
            assert pinned == control, f"clause {clause} of {name} depends on the pin"
            assert pinned in (deviations.get(clause, "holds"), "notrun"), f"clause {clause} of {name}"
        assert found[name]["verdicts"][str(LIVENESS)] in (
            {"pinned": "broken", "control": "holds"},
            {"pinned": "notrun", "control": "notrun"},
        )
    assert {clause for clause, verdict in _verdicts(found["xfs"], "pinned").items() if verdict == "notrun"} == set()
    assert code == 3


@pytest.fixture(scope="module")
def bugs(mutants_kernel: str, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """The columns of xfs on the mutant kernel, by the number of the bug; 0 is the healthy one."""
    words = [word for number in (0, *MUTANTS) for word in ("--kernel", f"{mutants_kernel} mutant={number}")]
    _, document = _contract(tmp_path_factory.mktemp("bugs"), "--fs", "xfs", *words)
    return dict(zip((0, *MUTANTS), document["columns"], strict=True))


@pytest.fixture(scope="module")
def mutants_kernel() -> str:
    """As the fixture `mutants`, for the whole module."""
    path = Path(__file__).parents[3] / "shared/mutants/linux-6.1-mutants"
    if not path.exists():
        pytest.skip(f"the mutant kernel is not here: no {path}")
    return str(path)


@pytest.mark.parametrize("number", MUTANTS)
def test_a_bug_breaks_the_clauses_named_in_advance(bugs: dict[int, dict[str, Any]], number: int) -> None:
    bug, column = MUTANTS[number], bugs[number]
    broken = {clause for clause, verdict in _verdicts(column, "pinned").items() if verdict == "broken"} - {LIVENESS}
    assert bug.named <= broken <= bug.named | bug.follows
    control = {clause for clause, verdict in _verdicts(column, "control").items() if verdict != "holds"}
    assert control == set() if bug.pin_only else bug.named <= control


def test_the_healthy_mutant_kernel_equals_the_packaged_one(
    mutants_kernel: str, packaged: tuple[int, dict[str, Any]], bugs: dict[int, dict[str, Any]], tmp_path: Path
) -> None:
    names = [word for name in ("ext4", "btrfs", "ext2") for word in ("--fs", name)]
    _, document = _contract(tmp_path, *names, "--kernel", f"{mutants_kernel} mutant=0")
    for healthy in (bugs[0], *document["columns"]):
        assert healthy["verdicts"] == packaged[1][healthy["filesystem"]]["verdicts"]


def _verdicts(column: dict[str, Any], arm: str) -> dict[int, str]:
    return {int(clause): arms[arm] for clause, arms in column["verdicts"].items()}


def _contract(results: Path, *options: str) -> tuple[int, dict[str, Any]]:
    command = [str(TORTURE), "contract", "--json", "--results", str(results), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)

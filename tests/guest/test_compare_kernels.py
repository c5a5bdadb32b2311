"""Comparisons of real kernels: each planted bug is fixed without it, and a kernel does not differ from itself.

Minutes long: TORTURE_LONG_TESTS=1 runs it. test_compare.py says the same of a lab of stand-ins, thousands of times.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.guest.command_line import TORTURE

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif("TORTURE_LONG_TESTS" not in os.environ, reason="minutes long; TORTURE_LONG_TESTS=1 runs it"),
]

TIMEOUT_S = 900
LEVEL = 0.01 / 4
"""What one look may spend of the chance of a wrong verdict (torture.reproduce.compare)."""

MUTANTS = {
    1: ["--layout", "reflinked", "--pin", "none", "--ops", "store"],
    2: ["--layout", "hole", "--ops", "store,sync msync"],
    5: ["--layout", "written", "--pin", "none", "--fault", "power-cut"],
    6: ["--layout", "hole", "--fault", "enospc:free_blocks=0", "--ops", "store,sync msync"],
    10: ["--layout", "unwritten", "--ops", "store,sync msync"],
    15: ["--layout", "reflinked", "--pin", "none", "--ops", "store"],
    18: ["--layout", "written", "--pin", "none", "--fault", "eio-data", "--ops", "store,sync fsync"],
    20: ["--layout", "hole", "--fault", "replay:states=8", "--ops", "store,sync msync"],
}


def torture(*words: object) -> tuple[int, Any]:
    command = [str(word) for word in (TORTURE, *words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def compare(mutants: str, a: int, b: int, results: Path, *words: object) -> tuple[int, Any]:
    arms = ["--kernel", mutants, "--kernel-arg-a", f"mutant={a}", "--kernel-arg-b", f"mutant={b}"]
    code, compared = torture("compare", *arms, *words, "--results", results, "--json")
    print(compared["sentence"])
    return code, compared


def plan_file(directory: Path, number: int) -> Path:
    _, plan = torture("plan", "--fs", "xfs", *MUTANTS[number])
    file = directory / "plan.json"
    file.write_text(json.dumps(plan))
    return file


@pytest.mark.parametrize("number", MUTANTS)
def test_a_kernel_without_the_planted_bug_is_a_fix(number: int, mutants: str, tmp_path: Path) -> None:
    code, compared = compare(mutants, number, 0, tmp_path, "--plan", plan_file(tmp_path, number))
    assert code == 0 and compared["verdict"] == "fixed"
    best = min(compared["signatures"], key=lambda each: each["p"])
    assert best["p"] <= LEVEL and best["b"]["seen"] == 0 and "p = " in compared["sentence"]


def test_a_plan_that_never_fails_on_a_proves_nothing(mutants: str, tmp_path: Path) -> None:
    code, compared = compare(mutants, 0, 2, tmp_path, "--plan", plan_file(tmp_path, 15), "--pairs", 8)
    assert code == 5 and compared["verdict"] == "not reproducible on A"


@pytest.mark.parametrize("seed", range(20))
def test_a_kernel_does_not_differ_from_itself(seed: int, mutants: str, tmp_path: Path) -> None:
    """ext2 fails on every kernel (late) and xfs on none of them: both are compared."""
    drawn = ["--fs", "ext2", "--fs", "xfs", "--layout", "hole", "--pin", "mlock", "--fault", "enospc:free_blocks=0"]
    code, compared = compare(mutants, 0, 0, tmp_path, *drawn, "--pairs", 8, "--workers", 1, "--seed", seed)
    assert code == 0 and compared["verdict"] == "no difference seen"
    assert any(each["a"]["seen"] and each["b"]["seen"] for each in compared["signatures"]), "nothing failed at all"


CONFIGURATIONS = {
    "mount options": (
        ["--fs", "ext4", "--layout", "hole", "--fault", "power-cut", "--ops", "store,sync msync"],
        ["--mount-options-a", "norecovery", "--mount-options-b", "barrier=1"],
    ),
    "mkfs options": (
        ["--fs", "ext4", "--layout", "hole", "--fault", "power-cut", "--ops", "store,sync msync"],
        ["--mkfs-options-a", "-O ^has_journal", "--mkfs-options-b", "-O has_journal"],
    ),
    "filesystems": (
        ["--fs", "ext2", "--fault", "enospc:free_blocks=0", "--ops", "store,sync msync"],
        ["--fs-b", "ext4"],
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations_are_compared_as_kernels_are(name: str, mutants: str, tmp_path: Path) -> None:
    """A journal, which `norecovery` does not use, and page_mkwrite: who has one keeps the promise that who has none breaks
    (for the journal see docs/kernel-behaviour.md: msync of ext4 without one)."""
    words, arms = CONFIGURATIONS[name]
    _, plan = torture("plan", *words)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    compared_on = ["--kernel", mutants, "--plan", tmp_path / "plan.json", "--pairs", 8]
    code, compared = torture("compare", *compared_on, *arms, "--results", tmp_path, "--json")
    print(compared["sentence"])
    assert code == 0 and compared["verdict"] == "fixed"

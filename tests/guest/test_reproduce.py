"""Replay, shrink and compare on real kernels with a planted bug.

Mutants 2 (the pin), 5 (the re-store) and 6 (full filesystem, hole).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.guest.command_line import TORTURE

TIMEOUT_S = 600

PLANS = {
    2: ["--fs", "xfs", "--layout", "hole", "--layout", "unwritten", "--pin", "mlock", "--pin", "none"],
    5: ["--fs", "xfs", "--layout", "written", "--pin", "mlock", "--pin", "none", "--fault", "power-cut"],
    6: ["--fs", "xfs", "--layout", "hole", "--layout", "written", "--fault", "enospc", "--pages", "8"],
}


def torture(*words: object) -> tuple[int, Any]:
    done = subprocess.run(
        [str(word) for word in (TORTURE, *words)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def plan_file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    _, plan = torture("plan", *PLANS[request.param])
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan))
    return file


def on_mutant(mutants: str, number: int, results: Path) -> list[object]:
    return ["--kernel", mutants, "--kernel-arg", f"mutant={number}", "--results", results, "--json"]


@pytest.mark.guest
@pytest.mark.parametrize("plan_file", [2], indirect=True)
def test_a_failure_replays_and_its_fix_is_proven(plan_file: Path, mutants: str, tmp_path: Path) -> None:
    code, replayed = torture("replay", plan_file, "--times", "3", *on_mutant(mutants, 2, tmp_path))
    assert code == 3 and replayed["failed"] == 3 and replayed["reproduced"]
    arms = ["--kernel", mutants, "--kernel", mutants, "--kernel-arg-a", "mutant=2", "--kernel-arg-b", "mutant=0"]
    run = Path(tmp_path) / replayed["run"]
    code, compared = torture("compare", "--finding", run / "1", *arms, "--results", tmp_path, "--json")
    assert code == 0 and compared["verdict"] == "fixed" and compared["pairs"] == 8


@pytest.mark.guest
@pytest.mark.skipif(
    "TORTURE_LONG_TESTS" not in os.environ,
    reason="minutes long; TORTURE_LONG_TESTS=1 runs it (test_shrink.py shrinks on a lab of stand-ins)",
)
@pytest.mark.parametrize(
    ("plan_file", "number", "factors"),
    [
        (2, 2, ["needs the pin: mlock", "no fault and no crash needed"]),
        (5, 5, ["needs the re-store", "needs the fault power-cut"]),
        (6, 6, ["needs layout hole, not written", "needs the fault enospc"]),
    ],
    indirect=["plan_file"],
)
def test_a_failure_shrinks_to_its_true_factors(
    plan_file: Path, number: int, factors: list[str], mutants: str, tmp_path: Path
) -> None:
    code, shrunk = torture("shrink", plan_file, *on_mutant(mutants, number, tmp_path))
    assert code == 0 and shrunk["done"]
    plan, named = shrunk["plan"], "\n".join(shrunk["factors"])
    assert all(factor in named for factor in factors), named
    assert len(plan["files"]) <= 2 and sum(file["pages"] for file in plan["files"]) <= 4
    assert sum(len(worker["ops"]) for worker in plan["workers"]) <= 6

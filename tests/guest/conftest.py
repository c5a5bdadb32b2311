"""Fixtures that start the command as its users do: a subprocess, a results directory, JSON out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.command_line import TORTURE, Run

MUTANTS = Path(__file__).parents[3] / "shared/mutants/linux-6.1-mutants"
RUN_TIMEOUT_S = 420


@pytest.fixture
def torture(tmp_path: Path) -> Callable[..., Run]:
    """Runs `torture run --json` with the given options."""

    def run(*options: str) -> Run:
        command = [str(TORTURE), "run", "--json", "--results", str(tmp_path / "results"), "--seed", "1", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
        assert done.stdout, done.stderr
        return Run(done.returncode, done.stderr, json.loads(done.stdout))

    return run


@pytest.fixture
def mutants() -> str:
    """The kernel with known data-loss bugs, which stands beside the project and is no part of it."""
    if not MUTANTS.exists():
        pytest.skip(f"the mutant kernel is not here: no {MUTANTS}")
    return str(MUTANTS)


@pytest.fixture
def root() -> None:
    """For tests of the local lab."""
    if os.geteuid() != 0:
        pytest.skip("the local lab needs root")

"""A few of the kills of `python -m benchmarks.kills`: nothing is left, lost or doubled, whoever is killed, and when."""

from __future__ import annotations

import os
from math import inf
from pathlib import Path

import pytest

from benchmarks.attack import Attack, Tally
from torture.lab.choose import LOCAL, UML

pytestmark = pytest.mark.guest
KILLS = 5
FAULTS = {UML: ("none", "power-cut", "thin-full"), LOCAL: ("none", "enospc", "kill-workers")}


@pytest.mark.parametrize("lab", FAULTS)
def test_kills_leave_lose_and_double_nothing(tmp_path: Path, lab: str) -> None:
    if lab == LOCAL and os.geteuid() != 0:
        pytest.skip("the local lab needs root")
    tally = Tally(KILLS, inf)
    for number in range(1, KILLS + 1):
        home = tmp_path / str(number)
        home.mkdir()
        attack = Attack(2, number, {lab: dict.fromkeys(("ext4", "xfs"), FAULTS[lab])}, home, tally)
        attack.carry_out()
        assert attack.failures == [], (home / "log.txt").read_text()
        if tally.is_enough:
            break
    assert tally.kills.total() == KILLS and tally.trials > 0

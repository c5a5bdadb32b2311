"""The closing page of a campaign: what is known, how surely, in a length that somebody reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from itertools import product
from typing import Any

from tests.unit.torture.stories import finding, trial
from torture.draw.request import whole_space
from torture.faults import FAULTS
from torture.plan import FaultSpec
from torture.report.campaign import render
from torture.report.coverage import covered, possible
from torture.results.known import Known
from torture.results.store import Trial
from verify.outcome import Outcome

TODAY = date(2026, 1, 1)
PASSED, FAILED = Outcome.passed, Outcome.failed
FACTS: dict[str, Any] = {
    "run": "torture-x",
    "seed": 7,
    "config": {"request": asdict(whole_space())},
    "wall_seconds": 60.0,
    "busy_seconds": 114.0,
    "cores": 2,
    "jobs": 2,
    "boots": 3,
    "lost_guests": ["the guest died"],
}


def page(trials: Sequence[Trial], *known: Known) -> str:
    """Of trials on kernels where the planted loss was found."""
    canary = trial(0, PASSED, arm="canary")
    canaries = [replace(canary, kernel=kernel) for kernel in dict.fromkeys(each.kernel for each in trials)]
    return render([*canaries, *trials], FACTS, known, TODAY)


def test_clean_cells_say_what_they_prove() -> None:
    text = page([trial(number, PASSED) for number in range(1, 81)])
    assert "none  80:27" in text
    assert "Outcome: pass" in text and "81.0 per minute" in text and "busy 95% of the time" in text
    assert "1 lost; the guest died" in text


def test_a_finding_says_how_often_each_arm_showed_it() -> None:
    losing = [trial(number, FAILED, finding()) for number in range(1, 11)]
    text = " ".join(page([*losing, *(trial(number, PASSED, arm="control") for number in range(11, 21))]).split())
    assert "10 of 10 pinned trials (72% to 100% at 95 %)" in text
    assert "0 of 10 control trials (0% to 28% at 95 %)" in text
    assert "only pinned mappings lose it" in text and "none FAIL" in text and "exit code 3" in text


def test_known_findings_stand_apart_and_do_not_count() -> None:
    entry = Known("full", "it reserves nothing", "2027-01-01", {"filesystem": ("ext4",)}, kind=("lost",))
    text = page([trial(1, PASSED), trial(2, FAILED, finding())], entry)
    assert "full: 1 trial, first 2; until 2027-01-01: it reserves nothing" in text
    assert "none  known" in text and "nobody has explained" not in text
    assert "Outcome, but for what is known: pass" in text and "exit code 0" in text


def test_kernels_are_told_apart() -> None:
    trials = [replace(trial(1, PASSED), kernel="before"), replace(trial(2, FAILED, finding()), kernel="/k/after fixed=1")]
    text = page(trials)
    assert "Kernel before:" in text and "Kernel after fixed=1:" in text
    assert "1. lost: after fixed=1, ext4, hole" in text


def test_a_bad_night_fits_on_a_page() -> None:
    layouts = [f"layout-{number}" for number in range(40)]
    trials = []
    places = product(("xfs", "ext4", "btrfs", "f2fs", "ext2", "jfs"), FAULTS)
    for number, (name, fault) in enumerate(places, 1):
        plan = replace(trial(number, FAILED).plan, filesystem=name, faults=(FaultSpec(fault, {}),))
        found = finding(layout=layouts[number % 40], found="word " * 80)
        trials.append(replace(trial(number, FAILED, found), plan=plan))
    for number in range(1000, 1030):
        unknown = trial(number, Outcome.unknown)
        trials.append(replace(unknown, verdict=replace(unknown.verdict, reason=f"reason {number} " * 30)))
    lines = page(trials).splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 124


def test_without_a_canary_nothing_is_clean() -> None:
    """Nor is what would be clean but for something known."""
    entry = Known("full", "it reserves nothing", "2027-01-01", {"filesystem": ("ext4",)}, kind=("lost",))
    lacking = trial(1, Outcome.notrun, arm="canary")
    for shown in (trial(2, PASSED), trial(3, FAILED, finding())):
        text = render([lacking, shown], FACTS, [entry], TODAY)
        assert "none  ?" in text and "no loss was planted" in text
        assert "unknown - something could not be judged" in text and "exit code 5" in text
    assert " 0 cells" in render([lacking, trial(2, PASSED)], FACTS, [entry], TODAY)


def test_coverage_counts_what_was_judged_of_what_can_be() -> None:
    met = covered([trial(1, PASSED), trial(2, Outcome.notrun, pin="none")])
    assert ("pin", "mlock", "layout", "hole") in met.pairs and ("pin", "none", "layout", "hole") not in met.pairs
    pairs = possible(asdict(whole_space().having(filesystem=("ext2",))))
    assert ("filesystem", "ext2", "layout", "hole") in pairs
    assert ("filesystem", "ext2", "layout", "reflinked") not in pairs
    assert ("pin", "none", "disturbance", "relock") not in pairs

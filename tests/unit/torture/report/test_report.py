"""The summary: outcomes by cell, each distinct finding once, and the truth about the pin."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.torture.stories import finding, plan, trial
from torture.faults import FAULTS
from torture.report import document
from torture.report.formats import FORMATS, TEXT, exit_code
from torture.report.summary import overall, render
from torture.results.cells import Cell, outcomes
from torture.results.groups import distinct, gather
from torture.results.store import Trial
from verify.finding import Finding
from verify.outcome import Outcome
from workloads.pins import PINS

PASSED, FAILED, LATE = Outcome.passed, Outcome.failed, Outcome.late
CANARY = trial(0, PASSED, arm="canary")


def test_a_cell_has_its_worst_outcome() -> None:
    cells = outcomes([trial(1, PASSED), trial(2, FAILED, finding()), trial(3, LATE, finding("late"))])
    assert cells == {Cell("ext4", "hole", "mlock", "none"): FAILED}


def test_a_finding_on_one_pin_does_not_stain_another() -> None:
    trials = [CANARY, trial(1, FAILED, finding(pin="map-locked"))]
    assert outcomes(trials) == {Cell("ext4", "hole", "mlock", "none"): PASSED}


def test_no_cell_is_clean_where_the_canary_never_ran() -> None:
    """Another filesystem's canary is none of it, nor that of another kernel."""
    others = [replace(CANARY, kernel="other"), replace(CANARY, plan=replace(CANARY.plan, filesystem="xfs"))]
    trials = [*others, trial(1, FAILED, finding(pin="map-locked"))]
    assert outcomes(trials) == {Cell("ext4", "hole", "mlock", "none"): Outcome.unknown}


@pytest.mark.parametrize("canary", [[], [Outcome.notrun], [Outcome.unknown]])
def test_a_run_without_a_canary_that_was_found_does_not_pass(canary: list[Outcome]) -> None:
    facts = {"config": {"endless": False}}
    trials = [*(trial(1, outcome, arm="canary") for outcome in canary), trial(2, PASSED)]
    assert exit_code(trials, facts) == Outcome.unknown.exit_code
    assert json.loads(FORMATS["json"](trials, facts))["outcome"] == "unknown"
    assert "1 unknown" in FORMATS[TEXT](trials, facts) and "the tool may be blind" in FORMATS[TEXT](trials, facts)


def test_another_canary_that_was_found_does() -> None:
    trials = [trial(1, Outcome.notrun, arm="canary"), CANARY, trial(2, PASSED)]
    assert exit_code(trials, {"config": {"endless": False}}) == 0
    assert "1 of 1 planted losses found" in render(trials)


def test_what_reproduces_a_loss_needs_no_canary() -> None:
    assert exit_code([trial(1, PASSED, arm="replay")], {"config": {"endless": False}}) == 0


def test_canaries_are_no_results() -> None:
    assert outcomes([trial(1, PASSED, finding(), arm="canary")]) == {}
    assert gather([trial(1, PASSED, finding(), arm="canary")]) == []


def test_equal_findings_are_told_once_and_counted() -> None:
    (group,) = gather([trial(1, FAILED, finding(pages=3)), trial(2, FAILED, finding(first_page=5, pages=2))])
    assert (group.pages, group.trials) == (5, {1, 2})


@pytest.mark.parametrize("difference", [{"layout": "written"}, {"kind": "torn"}, {"reported": "msync EIO"}])
def test_different_findings_are_told_apart(difference: dict[str, str]) -> None:
    assert len(gather([trial(1, FAILED, finding(), finding(**difference))])) == 2


def test_one_finding_on_several_layouts_is_told_once() -> None:
    trials = [
        trial(1, FAILED, finding(), finding(layout="written", reported="msync EIO")),
        trial(2, FAILED, finding(pin="none"), arm="control"),
        trial(3, FAILED, finding("torn")),
    ]
    first, second = distinct(trials)
    assert (first.key.layout, first.trials, first.shared) == ("hole, written", {1, 2}, {"access": "store"})
    assert (first.seen["pinned"], first.tried["pinned"], first.seen["control"]) == (1, 2, 1)
    assert second.key.kind == "torn"


def test_a_loss_that_both_reads_saw_is_told_once() -> None:
    (group,) = gather([trial(1, FAILED, finding(read="warm"), finding(read="cold"))])
    assert group.key.read == "cold"


def test_the_pin_is_blamed_only_if_the_control_arm_is_clean() -> None:
    pinned, lost = trial(1, FAILED, finding()), finding(pin="none")
    (alone,) = gather([pinned])
    (blamed,) = gather(arms(PASSED))
    (cleared,) = gather([pinned, trial(2, FAILED, lost, arm="control")])
    (unclear,) = gather([pinned, trial(2, Outcome.unknown, arm="control")])
    assert alone.control == unclear.control == "no control arm was run"
    assert blamed.control == "with the pin 5 of 5 failed, without it 0 of 5: only pinned mappings lose it (p = 0.0079)"
    assert cleared.control.endswith("without it 1 of 1: it is seen without a pin too, which is not to blame")


def arms(control: Outcome, *shown: Finding, number: int = 5) -> list[Trial]:
    """So many trials that lose with a pin, and as many without one."""
    pinned = [trial(each, FAILED, finding()) for each in range(1, number + 1)]
    return [CANARY, *pinned, *(trial(number + each, control, *shown, arm="control") for each in range(1, number + 1))]


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        (arms(PASSED, number=1), "with the pin 1 of 1 failed, without it 0 of 1: too few to blame the pin"),
        (arms(PASSED, number=4), "with the pin 4 of 4 failed, without it 0 of 4: too few to blame the pin"),
        (
            arms(FAILED, finding("hang", pin="none"), number=1),
            "with the pin 1 of 1 failed, without it 1 of 1: too few to blame the pin",
        ),
        (
            [*arms(PASSED), trial(20, FAILED, finding("torn", pin="none"), arm="control")],
            "with the pin 5 of 5 failed, without it 1 of 6: too few to blame the pin",
        ),
        (
            [*arms(PASSED, number=9), trial(20, FAILED, finding(pin="none"), arm="control")],
            "with the pin 9 of 9 failed, without it 1 of 10: the pin makes it more frequent (p = 0.00012)",
        ),
    ],
)
def test_blame_needs_numbers_and_counts_all_that_the_control_arm_did(trials: list[Trial], words: str) -> None:
    """The words stand in the document as in the summary."""
    group = gather(trials)[0]
    assert group.control == words
    assert words in [each["control"] for each in document.document(trials, {})["findings"]]
    assert words in " ".join(render(trials).replace("With the pin", "with the pin").split())


def test_trials_of_other_plans_and_kernels_say_nothing_of_the_pin() -> None:
    elsewhere = [replace(each, kernel="other") for each in arms(PASSED) if each.plan.is_control]
    (group,) = gather([trial(1, FAILED, finding()), *elsewhere])
    assert group.control == "no control arm was run"
    other = [replace(each, kernel="", plan=replace(each.plan, mount_options=("sync",))) for each in elsewhere]
    (group,) = gather([trial(1, FAILED, finding()), *other])
    assert group.control == "no control arm was run"


def test_an_unpinned_mapping_that_loses_beside_a_pinned_one_clears_the_pin() -> None:
    (group,) = gather([*arms(PASSED), trial(20, FAILED, finding(pin="none"))])
    assert group.control.endswith("the pin makes it more frequent (p = 0.0022)")


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([PASSED], PASSED),
        ([PASSED, LATE], LATE),
        ([LATE, Outcome.unknown], Outcome.unknown),
        ([Outcome.unknown, FAILED], FAILED),
        ([Outcome.notrun], Outcome.notrun),
        ([Outcome.notrun, PASSED], PASSED),
        ([], Outcome.notrun),
    ],
)
def test_the_worst_outcome_wins_and_unknown_is_never_pass(seen: list[Outcome], expected: Outcome) -> None:
    assert overall([trial(number, outcome) for number, outcome in enumerate(seen)]) is expected


def test_a_missed_canary_spoils_a_clean_run() -> None:
    assert overall([trial(1, Outcome.unknown, arm="canary"), trial(2, PASSED)]) is Outcome.unknown


def test_canaries_alone_are_no_run() -> None:
    assert overall([trial(1, PASSED, arm="canary"), trial(2, Outcome.notrun)]) is Outcome.notrun


def test_every_outcome_has_an_exit_code_of_its_own() -> None:
    assert sorted(outcome.exit_code for outcome in Outcome) == [0, 3, 4, 5, 6]


def test_the_summary_says_what_was_lost_and_whether_anybody_was_told() -> None:
    late = [finding("late", pin=pin, reported="msync ENOSPC") for pin in ("mlock", "none")]
    text = render([trial(1, LATE, late[0]), trial(2, LATE, late[1], arm="control")])
    for part in ("late: ext4, hole", "reported by msync ENOSPC", "expected generation 1, found zeros", "exit code 6"):
        assert part in text


def test_pins_that_fared_alike_share_a_row_and_others_do_not() -> None:
    lost = trial(3, FAILED, finding(pin="map-locked"), pin="map-locked")
    text = render([CANARY, trial(1, PASSED), trial(2, PASSED, arm="control"), lost])
    assert "mlock, none  pass" in text
    assert "map-locked   FAIL" in text


def test_the_document_holds_trials_and_findings() -> None:
    said = document.document([trial(1, FAILED, finding())], {"seed": 1})
    assert (said["seed"], said["exit_code"]) == (1, 3)
    assert said["trials"][0]["phases"] == {"work": 1.0}
    assert said["findings"][0]["losing_pins"] == ["mlock"]


def test_more_faults_than_fit_side_by_side_stand_below_each_other() -> None:
    names = [name for name, fault in FAULTS.items() if not fault.canary]
    text = render([replace(trial(number, PASSED), plan=plan(fault=name)) for number, name in enumerate(names, 1)])
    assert all(name in text for name in names)
    table = text[: text.index("trials (")].splitlines()
    assert max(map(len, table)) <= 120
    assert sum(line.startswith("filesystem") for line in table) > 2


def test_many_pins_that_fared_alike_are_counted() -> None:
    text = render([replace(trial(number, PASSED), plan=plan(pin=pin)) for number, pin in enumerate(PINS, 1)])
    assert f"{len(PINS) - 1} pins, none" in text

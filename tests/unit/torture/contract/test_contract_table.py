"""From entries to verdicts of cells, the table, the document and the exit code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from torture.contract.contract_command import choose_kernels
from torture.contract.table import Column, document, render
from torture.contract.verdict import Cell, ClauseVerdict, Entry, cell, exit_code, worst
from torture.errors import BadRequest

HOLDS, DIFFERS, NOTRUN, LATE = ClauseVerdict.holds, ClauseVerdict.differs, ClauseVerdict.notrun, ClauseVerdict.late
UNKNOWN, BROKEN = ClauseVerdict.unknown, ClauseVerdict.broken


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], NOTRUN),
        ([NOTRUN], NOTRUN),
        ([HOLDS, NOTRUN], HOLDS),
        ([HOLDS, DIFFERS], DIFFERS),
        ([DIFFERS, LATE], LATE),
        ([LATE, UNKNOWN], UNKNOWN),
        ([UNKNOWN, BROKEN], BROKEN),
    ],
)
def test_what_ran_says_more_than_what_could_not_and_the_worst_wins(
    verdicts: list[ClauseVerdict], expected: ClauseVerdict
) -> None:
    assert worst(verdicts) is expected


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [([HOLDS, NOTRUN, DIFFERS], 0), ([NOTRUN], 4), ([LATE, HOLDS], 6), ([LATE, UNKNOWN], 5), ([BROKEN, UNKNOWN], 3)],
)
def test_exit_codes(verdicts: list[ClauseVerdict], code: int) -> None:
    assert exit_code(_entry(verdict=verdict) for verdict in verdicts) == code


def test_a_cell_compares_the_arms() -> None:
    found = cell([_entry(verdict=BROKEN), _entry(arm="none"), _entry(clause=5, verdict=LATE)], 4)
    assert found == Cell(BROKEN, HOLDS)
    assert found.pin_matters and found.verdict is BROKEN
    assert not Cell(LATE, LATE).pin_matters


def test_one_kernel_shows_filesystems_side_by_side_and_what_the_pin_does() -> None:
    columns = [_column(filesystem="xfs", verdict=BROKEN, words="8 pages zero"), _column(filesystem="ext4")]
    text = render(columns)
    row = next(line for line in text.splitlines() if line.startswith(" 4 "))
    assert row.split("  ")[-1].strip() == "holds" and "broken, holds unpinned" in row
    assert "The pin makes a difference:\nxfs on packaged (6.1): clause 4" in text
    assert "   4 broken: 8 pages zero (hole, pin mlock)" in text


def test_two_kernels_are_side_by_side_for_each_filesystem() -> None:
    columns = [_column(kernel="packaged", control=BROKEN), _column(kernel="/a/b/linux mutant=3", verdict=BROKEN)]
    heading = render(columns).splitlines()[0]
    assert heading.split() == ["ext4", "packaged", "linux", "mutant=3"]


def test_arms_that_agree_are_told_once() -> None:
    column = _column(verdict=LATE, control=LATE, words="msync ENOSPC")
    assert render([column]).count("msync ENOSPC") == 1
    assert "makes no difference" in render([column])


def test_the_document_has_everything() -> None:
    found = document([_column(verdict=BROKEN)], {"run": "id"})
    assert found["run"] == "id" and found["exit_code"] == 3
    assert found["columns"][0]["verdicts"][4] == {"pinned": "broken", "control": "holds"}
    assert found["columns"][0]["experiments"][0]["experiment"] == "hole"


def test_kernels_have_parameters_of_their_own_and_in_common() -> None:
    chosen = list(choose_kernels(["packaged", "'/a b' x=1"], ("y",)))
    assert [(choice.path, choice.arguments) for choice in chosen] == [("", ("y",)), ("/a b", ("x=1", "y"))]
    assert [choice.path for choice in choose_kernels([], ())] == [""]
    with pytest.raises(BadRequest):
        list(choose_kernels(["packaged", "packaged"], ()))


def _entry(clause: int = 4, arm: str = "mlock", verdict: ClauseVerdict = HOLDS, words: str = "") -> Entry:
    return Entry(clause, "hole", arm, verdict, words)


def _column(
    kernel: str = "packaged",
    filesystem: str = "ext4",
    verdict: ClauseVerdict = HOLDS,
    control: ClauseVerdict = HOLDS,
    words: str = "",
) -> Column:
    entries = (_entry(verdict=verdict, words=words), _entry(arm="none", verdict=control, words=words))
    return Column(kernel, "6.1", filesystem, entries)


def test_what_is_known_is_told_and_does_not_count() -> None:
    late = replace(_entry(verdict=LATE, words="told late"), known=("full: no page_mkwrite",))
    assert exit_code([late, _entry(arm="none")]) == 0 and exit_code([late, _entry(arm="none", verdict=BROKEN)]) == 3
    text = render([Column("packaged", "6.1", "ext2", (late, _entry(arm="none")))])
    assert "   4 late: told late (hole, pin mlock); known, full: no page_mkwrite" in text

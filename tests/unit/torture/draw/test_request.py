"""Bad requests are refused with one sentence that says what is allowed."""

from __future__ import annotations

import pytest

from torture import faults
from torture.dimensions import DIMENSIONS
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.faults.base import Fault
from torture.filesystems import FILESYSTEMS


def test_no_value_is_the_default_and_all_is_every_one() -> None:
    row = DIMENSIONS["background"]
    assert row.choose((), ("no",)) == ("no",)
    assert row.choose(("all",), ()) == ("yes", "no")
    assert row.choose(("no", "no"), ("yes",)) == ("no",)


def test_an_unknown_value_names_what_is_allowed() -> None:
    with pytest.raises(BadRequest, match=r"filesystem 'zfs' is unknown; allowed are .*xfs.* and all"):
        DIMENSIONS["filesystem"].choose(["zfs"], ())
    with pytest.raises(BadRequest, match=r"unknown fault 'meteor'; known are .*enospc"):
        DIMENSIONS["fault"].choose(["meteor"], ())


@pytest.mark.parametrize(
    "text", ["enospc:free_blocks=-1", "enospc:free_blocks=x", "enospc:blocks=1", "enospc:free_blocks", "none:a=1"]
)
def test_a_bad_fault_parameter_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        DIMENSIONS["fault"].choose([text], ())


def test_a_fault_parameter_reaches_the_fault() -> None:
    (spec,) = Request({"fault": ("enospc:free_blocks=9",)}).faults
    assert faults.make(spec).values == {"free_blocks": 9}


def test_all_faults_leave_out_the_canaries() -> None:
    chosen = set(DIMENSIONS["fault"].choose(["all"], ()))
    assert chosen == {name for name, fault in faults.FAULTS.items() if not fault.canary}


@pytest.mark.parametrize("option", [{"count": 0}, {"pages": 0}, {"workers": 0}, {"pages": 1 << 40}, {"memlock_bytes": -2}])
def test_numbers_out_of_range_are_refused(option: dict[str, int]) -> None:
    with pytest.raises(BadRequest, match="out of range; allowed is"):
        Request(**option)  # type: ignore[arg-type]


def test_every_fault_says_what_it_is() -> None:
    for name, fault in faults.FAULTS.items():
        assert issubclass(fault, Fault) and fault.name == name and fault.meaning


def test_every_filesystem_row_is_complete() -> None:
    for name, row in FILESYSTEMS.items():
        assert row.name == name and row.mkfs and row.check.argv and row.package and row.size_mib >= 32

"""Evidence is short and about this trial's devices only."""

from __future__ import annotations

from devicemapper.status import Status
from devicemapper.uevents import UeventRecord
from torture.rig.block_evidence import status, uevents


def test_uevents_of_other_devices_are_left_out_and_equal_ones_counted() -> None:
    events = [
        "add /devices/virtual/block/dm-0",
        "change /devices/virtual/block/dm-0",
        "change /devices/virtual/block/dm-1",
        "add /fs/ext4/dm-0",
        "change /devices/virtual/block/dm-0",
        "add /module/dm_flakey",
    ]
    assert uevents(events, ["dm-0", "ubda"]) == "uevents: add dm-0, 2 x change dm-0, add fs/ext4/dm-0"
    assert uevents(events, ["ubda"]) == "uevents: none"


def test_many_different_ones_are_cut_short() -> None:
    said = uevents([f"a{number} /devices/virtual/block/dm-0" for number in range(20)], ["dm-0"])
    assert said.endswith("a11 dm-0, and 8 more")


def test_status_is_of_the_segments_that_have_one() -> None:
    segments = [Status(0, 8, "linear", ()), Status(8, 8, "flakey", ()), Status(16, 8, "delay", ("0", "0"))]
    assert status(segments) == "dmsetup status: 8+8 flakey, 16+8 delay 0 0"
    assert status(segments[:1]) == "dmsetup status: linear"


def test_a_record_of_uevents_ends_with_what_it_has_seen() -> None:
    record = UeventRecord()
    with record:
        assert isinstance(record.events(), list)
    assert record.events() == record.events() and (record.missing == "" or "ermitted" in record.missing)

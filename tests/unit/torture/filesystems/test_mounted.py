"""What was really made and mounted corrects the row, whatever the options said."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from devicemapper import mounts
from devicemapper.mounts import MountFailed
from devicemapper.tools import CommandFailed
from tests.unit.torture.stories import plan
from torture.errors import NotRun, StepFailed
from torture.filesystems import FILESYSTEMS, ext, f2fs, filesystem
from torture.filesystems.base import FEATURES, PROMISES
from torture.filesystems.mounted import Mounted, look
from torture.trial.requirements import refusable

LINE = "36 35 98:0 / %s rw,nosuid,noatime shared:1 - ext4 /dev/root rw,nobarrier,data=writeback"


def mounted(tmp_path: Path, options: Sequence[str] = ("rw",), superblock: bytes = b"") -> Mounted:
    device = tmp_path / "device"
    device.write_bytes(bytes(1024 + 0x5C) + superblock)
    return Mounted(device, tmp_path, tuple(options))


def test_options_are_those_of_the_mount_and_of_the_filesystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = mounts.parse_mountinfo(LINE % tmp_path)
    assert found.options == ("rw", "nosuid", "noatime", "nobarrier", "data=writeback")
    monkeypatch.setattr(mounts, "all_mounts", lambda: iter([found]))
    assert look(Path("dev"), tmp_path, lambda seen: [f"{len(seen.options)} options"])[-2:] == (
        "mounted with data=writeback",
        "5 options",
    )
    with pytest.raises(StepFailed, match="is not mounted"):
        look(Path("dev"), tmp_path / "elsewhere", lambda _: ())


def test_the_superblock_tells_what_was_made(tmp_path: Path) -> None:
    made = struct.pack("<3I", 0x400, 0x40 | 0x8000, 0x200)
    assert set(ext._read(mounted(tmp_path, superblock=made))) == {
        "made with ^has_journal",
        "made with fast_commit",
        "made with extent",
        "made with inline_data",
        "made with bigalloc",
    }


@pytest.mark.parametrize("option", ["checkpoint=disable", "checkpoint=disable:128"])
def test_what_forgets_at_the_unmount_keeps_nothing(tmp_path: Path, option: str) -> None:
    row = filesystem("f2fs").as_found(f2fs._read(mounted(tmp_path, ("rw", option))))
    assert row.void("store promise") == "the store promise is void: mounted with checkpoint=disable"


def test_nothing_read_changes_nothing() -> None:
    assert all(row.as_found(()) == row for row in FILESYSTEMS.values())


@pytest.mark.parametrize("name", FILESYSTEMS)
def test_a_filesystem_that_is_mounted_read_only_keeps_nothing(name: str) -> None:
    assert filesystem(name).as_found(["mounted with ro"]).void("store promise")


@pytest.mark.parametrize("name", FILESYSTEMS)
def test_what_is_taken_is_a_feature_or_a_promise(name: str) -> None:
    assert {each for taken in filesystem(name).takes.values() for each in taken} <= FEATURES.keys() | PROMISES.keys()


def test_a_journal_that_is_not_there_leaves_recovery_to_user_space() -> None:
    row = filesystem("ext4")
    bare = row.as_found(["running without a journal"])
    assert row.recovery is None and bare.recovery == filesystem("ext2").recovery == filesystem("ext4:nojournal").recovery
    assert bare.lacking("journal") == "ext4 is not known to be consistent after a power cut (running without a journal)"
    assert filesystem("ext4:nojournal").as_found(["made with has_journal"]).has("journal")


def test_features_come_back_where_options_give_them() -> None:
    assert filesystem("xfs:noreflink").as_found(["made with reflink=1"]).has("reflink")
    assert not filesystem("xfs:noreflink").has("reflink")
    assert filesystem("ext3").as_found(["made with extent"]).has("unwritten")
    assert filesystem("ext2").as_found(["made with extent"]) == filesystem("ext2")


REFUSALS = (
    CommandFailed(("mkfs", "-O", "x"), 1, "", "mkfs: x is no feature"),
    MountFailed(Path("dev"), Path("mnt"), "ext4", ("x",), 22),
)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_own_options_that_are_refused_are_no_failure_of_the_tool(refusal: Exception) -> None:
    own = replace(plan(), mount_options=("x",))
    with pytest.raises(NotRun, match="the options of the plan are refused: m"), refusable(own):
        raise refusal
    with pytest.raises(type(refusal)), refusable(plan()):
        raise refusal

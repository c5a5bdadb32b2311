"""What tells a block device from another one that has its name by now."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from devicemapper import in_use
from devicemapper.loop import LoopDevice
from torture.errors import BadRequest
from torture.lab.device_identity import DeviceIdentity, check_same, identify

needs_loops = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="loop devices need root and a kernel that has them"
)
DISK = DeviceIdentity("naa.5000", "S1", "Model X", 1 << 30, 0, 0, "")


def attributes(directory: Path, **files: str) -> Path:
    """A directory of sysfs; `device_` in a name stands for the directory `device`, and so on."""
    for name, content in files.items():
        path = directory / name.replace("_in_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return directory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of sysfs that any device is looked up in."""
    made = tmp_path / "sda"
    made.mkdir()
    monkeypatch.setattr(in_use, "system_directory", lambda number: made)
    return made


def test_a_disk_is_known_by_what_it_says_of_itself(system: Path) -> None:
    attributes(system, size="2097152\n", device_in_wwid="naa.5000\n", serial="", device_in_model="Model X  \n")
    (system / "device/vpd_pg80").write_bytes(b"\x00\x80\x00\x02S1")
    assert identify(Path("/dev/null")) == DISK


def test_a_partition_is_known_by_its_disk_and_its_place(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attributes(system, size="2097152\n", serial="S1\n", wwid="eui.1\n")
    part = attributes(system / "sda2", size="2048\n", start="4096\n", partition="2\n")
    monkeypatch.setattr(in_use, "system_directory", lambda number: part)
    assert identify(Path("/dev/null")) == DeviceIdentity("eui.1", "S1", "", 1 << 20, 2 << 20, 2, "")


def test_a_device_that_says_nothing_of_itself_is_not_unique(system: Path) -> None:
    attributes(system, size="8\n")
    identity = identify(Path("/dev/null"))
    assert identity == DeviceIdentity("", "", "", 4096, 0, 0, "") and not identity.is_unique
    assert DISK.is_unique and replace(DISK, wwid="").is_unique and not replace(DISK, wwid="", serial="").is_unique


def test_what_differs_is_told(system: Path) -> None:
    assert DISK.differences(DISK) == ()
    now = replace(DISK, serial="S2", size_bytes=5)
    assert DISK.differences(now) == ("serial was 'S1' and is 'S2'", "size_bytes was 1073741824 and is 5")


def test_a_device_is_the_same_by_what_it_says_and_not_by_its_name() -> None:
    before, now = Path("/dev/sda"), Path("/dev/sdb")
    check_same(DISK, before, DISK, now)
    with pytest.raises(BadRequest, match="is not the device that the run began on: serial was 'S1' and is 'S2'"):
        check_same(DISK, before, replace(DISK, serial="S2"), before)


def test_a_device_that_says_nothing_of_itself_must_have_its_name() -> None:
    silent = replace(DISK, wwid="", serial="")
    check_same(silent, Path("/dev/vda"), silent, Path("/dev/vda"))
    with pytest.raises(BadRequest, match="it was '/dev/vda', and has no serial number"):
        check_same(silent, Path("/dev/vda"), silent, Path("/dev/vdb"))


@needs_loops
def test_the_same_name_over_another_file_is_another_device(tmp_path: Path) -> None:
    """A run on /dev/loop0 was gone on with after a reboot, when /dev/loop0 was something else."""
    first, second = tmp_path / "first", tmp_path / "second"
    for file in (first, second):
        file.write_bytes(bytes(1 << 20))
    with LoopDevice(first) as disk:
        before, path = identify(disk.path), disk.path
        assert before.is_unique and before.size_bytes == 1 << 20
    with LoopDevice(first) as disk:
        assert before.differences(identify(disk.path)) == ()
    with LoopDevice(second) as disk:
        if disk.path != path:
            pytest.skip(f"somebody else has {path} by now")
        (difference,) = before.differences(identify(disk.path))
        assert difference.startswith(f"loop_file was '{first} (device ")
    first.rename(tmp_path / "kept")
    first.write_bytes(bytes(1 << 20))
    with LoopDevice(first) as disk:
        assert before.differences(identify(disk.path)) != (), "the same name is another file"

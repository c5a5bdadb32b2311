"""Loop devices and the uevents they cause, on the running kernel."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devicemapper import loop, tools, uevents
from devicemapper.loop import LoopDevice
from devicemapper.uevents import UeventRecord

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root"),
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="this kernel has no loop devices"),
]


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """A backing file of 1 MiB in a directory whose loop devices are detached in the end."""
    path = tmp_path / "disk image"
    path.write_bytes(b"\0" * (1 << 20))
    yield path
    loop.reap(tmp_path)


def _attached(image: Path) -> list[loop.Attached]:
    return [device for device in loop.attached() if device.backing_file == image]


def test_a_loop_device_lasts_as_long_as_its_context(image: Path) -> None:
    with LoopDevice(image) as device:
        assert device.path.is_block_device()
        assert _attached(image) == [loop.Attached(device.path, image)]
        with open(device.path, "r+b", buffering=0) as raw:
            raw.write(b"x" * 512)
            os.fsync(raw.fileno())
    assert _attached(image) == []
    assert image.read_bytes()[:513] == b"x" * 512 + b"\0"
    with pytest.raises(ValueError, match="not attached"):
        _ = device.path


def test_the_size_is_what_was_asked_for(image: Path) -> None:
    with LoopDevice(image, size_bytes=65536) as device:
        sysfs = Path("/sys/block") / device.path.name
        assert int((sysfs / "size").read_text()) * 512 == 65536
        assert int((sysfs / "loop/dio").read_text()) == 0


def test_a_missing_backing_file_is_a_failed_command(tmp_path: Path) -> None:
    with pytest.raises(tools.CommandFailed, match="No such file or directory"), LoopDevice(tmp_path / "none"):
        pass


def test_detaching_waits_for_the_last_user(image: Path) -> None:
    """The kernel sets autoclear on an open device and detaches it at the last close."""
    device = LoopDevice(image).__enter__()
    descriptor = os.open(device.path, os.O_RDONLY)
    with pytest.raises(loop.LoopBusy):
        device.detach(timeout_s=0.2)
    assert [attached.path for attached in _attached(image)] == [device.path]
    threading.Timer(0.3, os.close, [descriptor]).start()
    device.detach(timeout_s=10)
    assert _attached(image) == []


def test_a_device_detached_by_somebody_else_is_no_error(image: Path) -> None:
    with LoopDevice(image) as device:
        tools.run(["losetup", "--detach", device.path], timeout_s=10)


def test_reap_takes_what_is_below_the_directory_and_nothing_else(image: Path, tmp_path: Path) -> None:
    ours = tmp_path / "guest-1"
    ours.mkdir()
    inner = ours / "disk"
    inner.write_bytes(b"\0" * 65536)
    left = LoopDevice(inner).__enter__()
    with LoopDevice(image) as kept:
        inner.unlink()
        assert loop.reap(ours) == (left.path,)
        assert [device.path for device in _attached(image)] == [kept.path]
    with pytest.raises(ValueError):
        loop.reap(Path("/"))


def test_a_record_notes_the_event_of_a_command_run_after_it_opened(image: Path) -> None:
    with UeventRecord() as record, LoopDevice(image) as device:
        name = device.path.name
    assert record.missing == ""
    assert f"change /devices/virtual/block/{name}" in record.events()


def test_a_condition_is_tried_again_after_each_event_and_after_pauses(tmp_path: Path) -> None:
    threading.Timer(0.2, (tmp_path / "there").touch).start()
    assert uevents.wait_until((tmp_path / "there").exists, timeout_s=10)
    assert not uevents.wait_until((tmp_path / "never").exists, timeout_s=0.2)

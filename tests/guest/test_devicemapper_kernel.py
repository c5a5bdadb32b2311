"""Mapped devices on a kernel that has device-mapper. Disks are files on tmpfs behind loop devices."""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devicemapper import control, device, libc, mounts, tools, uevents
from devicemapper.device import MappedDevice
from devicemapper.loop import LoopDevice
from devicemapper.table import Segment, Table
from devicemapper.targets import Error, Flakey, Linear, Target, Zero
from devicemapper.uevents import UeventRecord
from verify.descriptors import opened
from verify.stamp import SECTOR_BYTES

RUN = "torture-test-"
BLOCK_BYTES = 4096
LENGTH_SECTORS = 64 * 2048

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="device-mapper needs root"),
    pytest.mark.skipif("device-mapper" not in Path("/proc/misc").read_text(), reason="this kernel has no device-mapper"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of LENGTH_SECTORS; what a failed test left on it is taken down."""
    image = tmp_path / "disk.img"
    with open(image, "wb") as file:
        file.truncate(LENGTH_SECTORS * SECTOR_BYTES)
    with LoopDevice(image) as loop:
        yield loop.path
        device.resume_suspended(RUN)
        mounts.reap(tmp_path)
        device.reap(RUN)


def _single(target: Target) -> Table:
    return Table.single(target, LENGTH_SECTORS)


def _linear(disk: Path) -> Table:
    return _single(Linear(str(disk)))


def _dropping(disk: Path) -> Table:
    return _single(Flakey(str(disk), 0, up_s=0, down_s=180, features=(Flakey.DROP_WRITES,)))


def _failing_writes(disk: Path) -> Table:
    return _single(Flakey(str(disk), 0, up_s=0, down_s=180, features=(Flakey.ERROR_WRITES,)))


def _dmsetup(*words: str) -> str:
    return tools.run(["dmsetup", *words], timeout_s=20).stdout.strip()


def _suspend(mapped: MappedDevice) -> None:
    _dmsetup("suspend", "--nolockfs", mapped.name)


def _state(mapped: MappedDevice) -> str:
    """Whether it is suspended, and by how many it is held open."""
    return _dmsetup("info", "--columns", "--noheadings", "-o", "suspended,open", mapped.name)


def _write(path: Path, block: int, fill: bytes) -> None:
    """Write one block past the page cache, and flush."""
    with opened(path, os.O_WRONLY | os.O_DIRECT) as descriptor:
        with mmap.mmap(-1, BLOCK_BYTES) as buffer:
            buffer[:] = fill * BLOCK_BYTES
            os.pwrite(descriptor, buffer, block * BLOCK_BYTES)
        os.fsync(descriptor)


def _read(path: Path, block: int) -> bytes:
    """Read one block past the page cache."""
    with opened(path, os.O_RDONLY | os.O_DIRECT) as descriptor, mmap.mmap(-1, BLOCK_BYTES) as buffer:
        os.preadv(descriptor, [buffer], block * BLOCK_BYTES)
        return bytes(buffer)


def _all(fill: bytes) -> bytes:
    return fill * BLOCK_BYTES


def test_linear_shifts_and_the_device_ends_with_its_context(disk: Path) -> None:
    table = Table.single(Linear(str(disk), 80), 800)
    with MappedDevice(f"{RUN}linear", table) as mapped:
        assert mapped.path.is_block_device()
        assert list(device.devices(RUN)) == [mapped.name]
        _write(mapped.path, 3, b"x")
        assert _read(mapped.path, 3) == _read(disk, 13) == _all(b"x")
    assert not mapped.path.exists()
    assert device.devices(RUN) == {}


def test_error_fails_all_io_and_zero_takes_it_and_forgets(disk: Path) -> None:
    segments = (
        Segment(0, 8, Linear(str(disk))),
        Segment(8, 8, Error()),
        Segment(16, 8, Zero()),
        Segment(24, 8, Linear(str(disk), 24)),
    )
    with MappedDevice(f"{RUN}mixed", Table(segments)) as mapped:
        for block, fill in ((0, b"a"), (2, b"c"), (3, b"d")):
            _write(mapped.path, block, fill)
        for failing in (lambda: _write(mapped.path, 1, b"b"), lambda: _read(mapped.path, 1)):
            with pytest.raises(OSError) as caught:
                failing()
            assert caught.value.errno == errno.EIO
        assert [_read(mapped.path, block) for block in (0, 2, 3)] == [_all(b"a"), _all(b"\0"), _all(b"d")]
    assert [_read(disk, block)[:1] for block in range(4)] == [b"a", b"\0", b"\0", b"d"]


def test_dropped_writes_succeed_and_are_not_there_after(disk: Path) -> None:
    """The power cut, at the level of blocks: what was flushed before the swap stays, what came after it is gone."""
    with MappedDevice(f"{RUN}drop", _linear(disk)) as mapped:
        _write(mapped.path, 0, b"1")
        _write(mapped.path, 1, b"1")
        mapped.swap_table(_dropping(disk))
        _write(mapped.path, 1, b"2")
        _write(mapped.path, 2, b"2")
        mapped.swap_table(_linear(disk))
        assert [_read(mapped.path, block) for block in range(3)] == [_all(b"1"), _all(b"1"), _all(b"\0")]
        _write(mapped.path, 2, b"3")
    assert _read(disk, 2) == _all(b"3")


def test_failing_writes_fail_and_reads_go_on(disk: Path) -> None:
    with MappedDevice(f"{RUN}eio", _linear(disk)) as mapped:
        _write(mapped.path, 0, b"1")
        mapped.swap_table(_failing_writes(disk))
        with pytest.raises(OSError) as caught:
            _write(mapped.path, 0, b"2")
        assert caught.value.errno == errno.EIO
        assert _read(mapped.path, 0) == _all(b"1")


def test_a_power_cut_under_a_mounted_filesystem(disk: Path, tmp_path: Path) -> None:
    """The swap neither freezes nor syncs: a page that was dirty before it is lost, an fsynced one is not. fsync after
    the swap lies."""
    directory = tmp_path / "mnt"
    directory.mkdir()
    with MappedDevice(f"{RUN}cut", _linear(disk)) as mapped:
        tools.run(["mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard", mapped.path], timeout_s=60)
        with mounts.mount(mapped.path, directory, "ext4", ["noatime"]):
            _store(directory / "kept", b"kept", sync=True)
            _store(directory / "dirty", b"dirty", sync=False)
            mapped.swap_table(_dropping(disk))
            _store(directory / "late", b"late", sync=True)
            assert (directory / "dirty").read_bytes() == b"dirty"
        mapped.swap_table(_linear(disk))
        with mounts.mount(mapped.path, directory, "ext4"):
            assert (directory / "kept").read_bytes() == b"kept"
            assert not (directory / "late").exists()
            assert not (directory / "dirty").exists() or (directory / "dirty").read_bytes() == b""


def _store(path: Path, content: bytes, sync: bool) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def test_tables_are_swapped_under_io_without_an_error_or_a_loss(disk: Path) -> None:
    stop = threading.Event()
    written: list[int] = []
    errors: list[OSError] = []

    def keep_writing(path: Path) -> None:
        try:
            while not stop.is_set():
                _write(path, len(written), bytes([len(written) % 251 + 1]))
                written.append(len(written))
        except OSError as error:
            errors.append(error)

    with MappedDevice(f"{RUN}busy", _linear(disk)) as mapped:
        writer = threading.Thread(target=keep_writing, args=[mapped.path])
        writer.start()
        counts = []
        for up_table in [_single(Flakey(str(disk), 0, up_s=180, down_s=0)), _linear(disk)] * 3:

            def went_on(before: int = len(written)) -> bool:
                return len(written) > before + 2

            mapped.swap_table(up_table)
            assert uevents.wait_until(went_on, timeout_s=20)
            counts.append(len(written))
        stop.set()
        writer.join()
        assert errors == [] and counts == sorted(set(counts))
        assert [_read(mapped.path, block)[0] for block in written] == [block % 251 + 1 for block in written]


def test_a_table_that_the_kernel_refuses_changes_nothing(disk: Path) -> None:
    with MappedDevice(f"{RUN}refused", _linear(disk)) as mapped:
        with pytest.raises(tools.CommandFailed) as caught:
            mapped.swap_table(_single(Linear("/dev/nonexistent")))
        assert "reload ioctl" in caught.value.stderr and mapped.name in caught.value.stderr
        assert mapped.table == _linear(disk)
        assert _state(mapped) == "Active:0"
        _write(mapped.path, 0, b"1")
        assert _read(disk, 0) == _all(b"1")


def test_a_table_that_fails_at_the_swap_leaves_the_old_one_running(tmp_path: Path) -> None:
    """The kernel checks alignment to 4 KiB sectors only when it swaps, and leaves the device suspended."""
    image = tmp_path / "4k.img"
    image.write_bytes(b"\0" * (1 << 20))
    loop = tools.run(["losetup", "--find", "--show", "--sector-size", "4096", image], timeout_s=20).stdout.strip()
    try:
        whole = Table.single(Linear(loop), 1024)
        split = Table((Segment(0, 4, Linear(loop)), Segment(4, 1020, Linear(loop, 4))))
        with MappedDevice(f"{RUN}4k", whole) as mapped:
            with pytest.raises(tools.CommandFailed, match="resume ioctl"):
                mapped.swap_table(split)
            assert _state(mapped) == "Active:0"
            assert len(_dmsetup("table", mapped.name).splitlines()) == 1
            _write(mapped.path, 0, b"1")
            assert _read(mapped.path, 0) == _all(b"1")
    finally:
        tools.run(["losetup", "--detach", loop], timeout_s=20)


def test_a_refused_table_leaves_no_device(disk: Path) -> None:
    too_long = Table.single(Linear(str(disk)), LENGTH_SECTORS + 8)
    with pytest.raises(tools.CommandFailed, match="reload ioctl"), MappedDevice(f"{RUN}long", too_long):
        pass
    assert device.devices(RUN) == {}


def test_status_and_table_as_the_kernel_has_them(disk: Path) -> None:
    with MappedDevice(f"{RUN}state", _dropping(disk)) as mapped:
        (status,) = mapped.status()
        assert (status.start_sectors, status.length_sectors, status.kind) == (0, LENGTH_SECTORS, "flakey")
        lower = disk.stat().st_rdev
        assert _dmsetup("table", mapped.name) == str(_dropping(Path(f"{os.major(lower)}:{os.minor(lower)}")))
        _suspend(mapped)
        assert _state(mapped) == "Suspended:0"
        mapped.resume()
        assert _state(mapped) == "Active:0"


def test_a_busy_device_is_removed_when_its_last_user_closes_it(disk: Path) -> None:
    with MappedDevice(f"{RUN}held", _linear(disk)) as mapped:
        descriptor = os.open(mapped.path, os.O_RDONLY)
        began = time.monotonic()
        with pytest.raises(tools.CommandFailed) as caught:
            mapped.remove(timeout_s=0.3)
        assert "Device or resource busy" in caught.value.stderr
        assert time.monotonic() - began < 10
        threading.Timer(0.5, os.close, [descriptor]).start()
        mapped.remove(timeout_s=20)
        assert device.devices(RUN) == {}
        mapped.remove()


def test_a_suspended_device_with_a_writer_stuck_in_it_is_resumed_and_removed(disk: Path) -> None:
    with MappedDevice(f"{RUN}stuck", _linear(disk)) as mapped:
        _suspend(mapped)
        writer = threading.Thread(target=_write, args=[mapped.path, 0, b"1"])
        writer.start()
        assert uevents.wait_until(lambda: _state(mapped) == "Suspended:1", timeout_s=20)
    writer.join(10)
    assert not writer.is_alive()
    assert _read(disk, 0) == _all(b"1")


def test_unmounting_on_a_suspended_device_hangs_and_is_given_up(disk: Path, tmp_path: Path) -> None:
    directory = tmp_path / "mnt"
    directory.mkdir()
    with MappedDevice(f"{RUN}hang", _linear(disk)) as mapped:
        tools.run(["mkfs.ext4", "-q", "-b", "4096", mapped.path], timeout_s=60)
        libc.mount(os.fsencode(mapped.path), os.fsencode(directory), b"ext4", 0, b"")
        _store(directory / "dirty", b"dirty", sync=False)
        _suspend(mapped)
        with pytest.raises(mounts.MountHung):
            mounts.unmount(directory, timeout_s=0.5)
        assert device.resume_suspended(RUN) == (mapped.name,)
        assert uevents.wait_until(lambda: mounts.mounts_under(directory) == (), timeout_s=20)


def test_a_swap_is_announced_by_a_uevent(disk: Path) -> None:
    with MappedDevice(f"{RUN}event", _linear(disk)) as mapped, UeventRecord() as record:
        change = f"change /devices/virtual/block/dm-{os.minor(mapped.path.stat().st_rdev)}"
        mapped.swap_table(_dropping(disk))
        assert record.events().count(change) == 1


def test_the_node_is_made_when_dmsetup_left_it_to_an_absent_udev(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_UDEV_SOCKET", Path("/proc/self"))
    with MappedDevice(f"{RUN}node", _linear(disk)) as mapped:
        assert mapped.path.is_block_device()


def test_what_is_done_by_ioctl_is_what_dmsetup_would_do_and_is_logged_as_such(disk: Path, tmp_path: Path) -> None:
    listed = tools.run(["dmsetup", "targets"], timeout_s=20).stdout
    assert control.targets() == {line.split()[0] for line in listed.splitlines()}
    log = tmp_path / "commands.log"
    with tools.logging_to(log), MappedDevice(f"{RUN}ioctl", _linear(disk)) as mapped:
        assert f"{RUN}ioctl" in tools.run(["dmsetup", "ls"], timeout_s=20).stdout
        mapped.swap_table(_dropping(disk))
        assert " flakey " in _dmsetup("table", mapped.name)
    lines = log.read_text().splitlines()
    assert not mapped.path.exists()
    assert lines[0] == f"dmsetup create {mapped.name} <<< $'{_linear(disk)}'" and "by system call" in lines[1]


def test_reap_removes_devices_upon_devices_and_leaves_the_neighbours(disk: Path) -> None:
    with MappedDevice("neighbour", _single(Zero())) as neighbour:
        lower = MappedDevice(f"{RUN}a", _linear(disk)).__enter__()
        upper = MappedDevice(f"{RUN}b", _single(Linear(str(lower.path)))).__enter__()
        _suspend(upper)
        assert device.reap(RUN) == (upper.name, lower.name)
        assert device.reap(RUN) == ()
        assert neighbour.path.exists()
    with pytest.raises(ValueError):
        device.reap("")

"""Mounts by system call; mountinfo."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from devicemapper import libc, loop, mounts, tools
from devicemapper.loop import LoopDevice

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def test_mountinfo_is_decoded_with_and_without_optional_fields() -> None:
    line = r"36 35 98:0 /mnt1 /a\040b\134\011c\043 rw,noatime shared:1 master:2 - ext3 /dev/ro\040ot rw,errors=continue"
    assert mounts.parse_mountinfo(line).mount_point == Path("/a b\\\tc#")
    assert mounts.parse_mountinfo("22 1 0:20 / /proc rw - proc proc rw").mount_point == Path("/proc")


def test_a_mount_point_next_door_is_not_below(tmp_path: Path) -> None:
    assert mounts.mounts_under(tmp_path) == ()


@pytest.mark.root
@needs_root
def test_a_mount_lasts_as_long_as_its_context(tmp_path: Path) -> None:
    directory = tmp_path / "a b\t#"
    directory.mkdir()
    options = ["noatime,size=1m", "ro", "defaults"]
    with mounts.mount(Path("none"), directory, "tmpfs", options) as mounted:
        assert mounted == directory
        assert mounts.mounts_under(tmp_path) == (directory,)
        assert os.statvfs(directory).f_flag & os.ST_RDONLY
        assert os.statvfs(directory).f_flag & os.ST_NOATIME
        assert os.statvfs(directory).f_blocks * os.statvfs(directory).f_frsize == 1 << 20
    assert mounts.mounts_under(tmp_path) == ()


@pytest.mark.root
@needs_root
def test_a_refused_mount_names_everything(tmp_path: Path) -> None:
    with pytest.raises(mounts.MountFailed) as caught, mounts.mount(Path("/dev/null"), tmp_path, "ext4", ["noatime"]):
        pass
    assert caught.value.errno == errno.ENOTBLK
    assert str(caught.value) == f"mount -t ext4 -o noatime /dev/null {tmp_path}: Block device required"


@pytest.mark.root
@needs_root
def test_a_busy_mount_is_retried_and_then_reported(tmp_path: Path) -> None:
    with mounts.mount(Path("none"), tmp_path, "tmpfs"):
        held = os.open(tmp_path / "held", os.O_CREAT)
        with pytest.raises(mounts.UnmountFailed, match="Device or resource busy"):
            mounts.unmount(tmp_path, busy_timeout_s=0.1)
        threading.Timer(0.3, os.close, [held]).start()
        mounts.unmount(tmp_path, busy_timeout_s=10)
        assert mounts.mounts_under(tmp_path) == ()
        libc.mount(b"none", os.fsencode(tmp_path), b"tmpfs", 0, b"")
    with pytest.raises(mounts.UnmountFailed, match="Invalid argument"):
        mounts.unmount(tmp_path)


@pytest.mark.root
@needs_root
def test_reap_undoes_mounts_upon_mounts_and_leaves_the_neighbours(tmp_path: Path) -> None:
    ours, neighbour = tmp_path / "guest-1", tmp_path / "guest-10"
    ours.mkdir()
    neighbour.mkdir()
    libc.mount(b"none", os.fsencode(ours), b"tmpfs", 0, b"")
    (ours / "sub").mkdir()
    libc.mount(b"none", os.fsencode(ours / "sub"), b"tmpfs", 0, b"")
    libc.mount(b"none", os.fsencode(ours / "sub"), b"tmpfs", 0, b"")
    with mounts.mount(Path("none"), neighbour, "tmpfs"):
        assert mounts.reap(ours) == (ours / "sub", ours / "sub", ours)
        assert mounts.mounts_under(tmp_path) == (neighbour,)
    with pytest.raises(ValueError):
        mounts.reap(Path("/"))


@pytest.mark.root
@needs_root
def test_reap_thaws_what_a_killed_run_left_frozen(tmp_path: Path) -> None:
    """Otherwise the superblock stays, and with it the loop device."""
    image, place = tmp_path / "image", tmp_path / "mnt"
    image.touch()
    os.truncate(image, 16 << 20)
    place.mkdir()
    tools.run(["mkfs.ext4", "-q", str(image)], 30)
    with LoopDevice(image) as disk:
        libc.mount(os.fsencode(disk.path), os.fsencode(place), b"ext4", 0, b"")
        tools.run(["fsfreeze", "--freeze", str(place)], 30)
        assert mounts.reap(place) == (place,)
    assert not any(device.backing_file == image for device in loop.attached())


def test_a_call_that_does_not_return_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    released = threading.Event()
    monkeypatch.setattr(libc, "unmount", lambda directory, flags: released.wait(20))
    with pytest.raises(mounts.MountHung, match=r"umount of .* did not return within 0.1 s"):
        mounts.unmount(tmp_path, timeout_s=0.1)
    released.set()

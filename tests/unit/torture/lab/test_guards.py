"""A device is taken only if nobody uses it, and is claimed from before the question to the end of the run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devicemapper import in_use, mounts, namespaces, tools
from devicemapper.loop import LoopDevice
from torture.errors import BadRequest, BrokenTool
from torture.lab import guards
from torture.lab.disk import make_disk
from torture.lab.guards import Claim

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root"),
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="this kernel has no loop devices"),
]

SIZE_BYTES = 64 << 20
Attach = Callable[[str | Path], Path]


@pytest.fixture
def attach(tmp_path: Path) -> Iterator[Attach]:
    """A loop device on a file of tmp_path, made if there is none, or on another device."""
    with ExitStack() as held:

        def make(file: str | Path) -> Path:
            path = tmp_path / file
            if not path.exists():
                path.touch()
                os.truncate(path, SIZE_BYTES)
            return held.enter_context(LoopDevice(path)).path

        yield make


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where something can be mounted."""
    made = tmp_path / "mnt"
    made.mkdir()
    return made


def make_ext4(device: Path) -> None:
    tools.run(["mkfs.ext4", "-q", "-F", "-L", "home", str(device)], 30)


def refusal(device: Path, needed_bytes: int = 1) -> str:
    """Why a device is not taken."""
    with pytest.raises(BadRequest) as caught, Claim(device, needed_bytes):
        pass
    return caught.value.wrong.removeprefix(f"--destroy {device}").removeprefix(": ")


def test_a_device_that_nobody_uses_is_taken_and_described(attach: Attach, tmp_path: Path) -> None:
    device = attach("disk")
    with Claim(device, SIZE_BYTES) as claim:
        assert claim.device == device
        assert claim.describe().startswith(f"64 MiB, {tmp_path}/disk (device ")
        assert claim.describe().endswith("no signature was found on it")
    make_ext4(device)
    with Claim(device, SIZE_BYTES) as claim:
        assert claim.describe().endswith("it holds ext4 'home'")


def test_what_is_too_small_or_no_block_device_is_refused(attach: Attach, tmp_path: Path) -> None:
    assert refusal(tmp_path) == " is not a block device"
    assert refusal(attach("disk"), SIZE_BYTES + 1) == " has 64 MiB"


def test_a_mounted_device_is_refused_wherever_it_is_mounted(attach: Attach, place: Path) -> None:
    device = attach("disk")
    make_ext4(device)
    with mounts.mount(device, place, "ext4"):
        assert refusal(device) == f"it is mounted on {place}"
    libc_mount = [os.fsencode(device), os.fsencode(place), b"ext4", 0, b""]
    elsewhere = f"from devicemapper import libc, namespaces; namespaces.make_own(); libc.mount(*{libc_mount}); input()"
    with subprocess.Popen([sys.executable, "-c", elsewhere], stdin=subprocess.PIPE) as process:
        wait_for_mount(process.pid, place)
        assert refusal(device) == "it cannot be opened for exclusive use (Device or resource busy)"
        process.communicate(b"\n")


def wait_for_mount(pid: int, place: Path) -> None:
    """Wait until a process has mounted something in a namespace of its own."""
    deadline = time.monotonic() + 20
    while str(place) not in Path(f"/proc/{pid}/mountinfo").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nobody_mounts_the_device_while_the_prompt_waits(attach: Attach, place: Path) -> None:
    """It was checked, then asked about, and by the answer somebody else had it."""
    device = attach("disk")
    make_ext4(device)
    with Claim(device, 1) as claim:
        with pytest.raises(mounts.MountFailed, match="busy"), mounts.mount(device, place, "ext4"):
            pass
        claim.begin()
        with mounts.mount(device, place, "ext4"):
            pass


def test_a_second_run_on_the_device_is_refused(attach: Attach, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs accused the filesystem: what one had written, the other overwrote."""
    monkeypatch.setattr(guards, "_LOCK_TIMEOUT_S", 0.1)
    device = attach("disk")
    with Claim(device, 1) as claim:
        claim.begin()
        assert refusal(device) == "another run, or another program, has locked it (flock)"
    with Claim(device, 1):
        pass


def test_udev_which_looks_for_a_moment_is_waited_for(attach: Attach) -> None:
    device = attach("disk")
    look = "import fcntl, time; fcntl.flock(0, fcntl.LOCK_SH); print(flush=True); time.sleep(0.5)"
    looking = [sys.executable, "-c", look]
    with open(device, "rb") as disk, subprocess.Popen(looking, stdin=disk, stdout=subprocess.PIPE) as udev:
        fcntl.flock(disk, fcntl.LOCK_UN)
        assert udev.stdout is not None and udev.stdout.readline()
        disk.close()
        with Claim(device, 1):
            pass


def test_a_device_that_a_program_has_open_like_a_file_is_refused(attach: Attach) -> None:
    """As a virtual machine has its disk: the kernel takes no claim for it."""
    device = attach("disk")
    with open(device, "rb") as disk, subprocess.Popen(["sleep", "60"], stdin=disk) as machine:
        disk.close()
        assert refusal(device) == f"process {machine.pid} (sleep) has it open"
        machine.kill()
    with Claim(device, 1):
        pass


def test_a_loop_over_a_mounted_device_is_refused(attach: Attach, place: Path) -> None:
    below = attach("disk")
    make_ext4(below)
    above = attach(below)
    with mounts.mount(below, place, "ext4"):
        assert refusal(above) == f"{below}, which lies below, is mounted on {place}"


def test_a_loop_over_a_mounted_image_file_is_refused(attach: Attach, place: Path) -> None:
    first, second = attach("disk"), attach("disk")
    make_ext4(first)
    with mounts.mount(first, place, "ext4"):
        assert refusal(second) == f"the file behind {second} is also behind {first}"


def test_a_loop_over_the_disk_of_a_virtual_machine_is_refused(attach: Attach, tmp_path: Path) -> None:
    bottom = attach("disk")
    above = attach(bottom)
    with open(tmp_path / "disk", "rb") as disk, subprocess.Popen(["sleep", "60"], stdin=disk) as machine:
        disk.close()
        assert refusal(above) == f"process {machine.pid} (sleep) has the file behind {bottom} open"
        machine.kill()


def test_what_is_used_below_is_found_in_another_namespace(attach: Attach, tmp_path: Path, place: Path) -> None:
    """The kernel tells the path of a backing file as far as the reader's mounts go; the inode is the same everywhere."""
    device = attach("disk")
    other = tmp_path / "disk"
    with mounts.mount(Path("none"), place, "tmpfs"):
        assert namespaces.apart(lambda: in_use.why(device)) == ""
        second = attach(other)
        assert namespaces.apart(lambda: in_use.why(device)) == f"the file behind {device} is also behind {second}"


def test_active_swap_is_refused(attach: Attach) -> None:
    device = attach("disk")
    tools.run(["mkswap", str(device)], 30)
    try:
        tools.run(["swapon", str(device)], 30)
    except tools.CommandFailed as failed:
        pytest.skip(f"this machine takes no swap: {failed}")
    try:
        assert refusal(device) == "it is in use as swap"
    finally:
        tools.run(["swapoff", str(device)], 30)


def luks(device: Path) -> None:
    """The first bytes of a LUKS1 header: magic and version, and a UUID."""
    with open(device, "r+b") as disk:
        disk.write(b"LUKS\xba\xbe\x00\x01")
        disk.seek(168)
        disk.write(b"9f987190-3d3d-45e1-94d0-215696de4173")


def lvm(device: Path) -> None:
    """A label of a physical volume in sector 1: LABELONE, sector, CRC of what follows, offset, type, UUID."""
    rest = bytearray(512 - 20)
    rest[0:4] = (32).to_bytes(4, "little")
    rest[4:12] = b"LVM2 001"
    rest[12:44] = b"0123456789abcdef0123456789abcdef"
    with open(device, "r+b") as disk:
        disk.seek(512)
        disk.write(b"LABELONE" + (1).to_bytes(8, "little") + _lvm_crc(bytes(rest)).to_bytes(4, "little") + rest)


def _lvm_crc(content: bytes) -> int:
    """calc_crc() of LVM2: the CRC-32 of zlib without its final and first inversion, from 0xf597a6cf."""
    crc = 0xF597A6CF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def md(device: Path) -> None:
    """A version 1.2 superblock, 4 KiB from the start: magic, version, checksum of 256 bytes (md_p.h)."""
    block = bytearray(256)
    block[0:4] = (0xA92B4EFC).to_bytes(4, "little")
    block[4:8] = (1).to_bytes(4, "little")
    block[16:32] = bytes(range(16))
    block[144:152] = (8).to_bytes(8, "little")  # super_offset, in sectors
    total = sum(int.from_bytes(block[at : at + 4], "little") for at in range(0, 256, 4))
    block[216:220] = ((total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF).to_bytes(4, "little")
    with open(device, "r+b") as disk:
        disk.seek(4096)
        disk.write(block)


def zfs(device: Path) -> None:
    """Uberblocks of the first label: the magic every KiB from 128 KiB on, four of which are enough for libblkid."""
    with open(device, "r+b") as disk:
        for number in range(128):
            disk.seek((128 << 10) + number * 1024)
            disk.write((0x00BAB10C).to_bytes(8, "little"))


@pytest.mark.parametrize(
    ("mark", "kind"),
    [(luks, "crypto_LUKS"), (lvm, "LVM2_member"), (md, "linux_raid_member"), (zfs, "zfs_member")],
)
@pytest.mark.parametrize("also_ext4", [False, True])
def test_a_member_of_something_larger_is_refused(
    attach: Attach, mark: Callable[[Path], None], kind: str, also_ext4: bool
) -> None:
    """Nobody holds it while the larger thing is not assembled. What else is found on it does not hide that."""
    device = attach("disk")
    if also_ext4:
        make_ext4(device)
    mark(device)
    assert refusal(device) == f"it is a member of something larger ({kind}); `wipefs` removes that mark"


def test_who_comes_after_the_claim_is_seen_before_each_mkfs(attach: Attach, place: Path) -> None:
    device = attach("disk")
    make_ext4(device)
    in_use.check(device)
    guards.check_again(device)
    with mounts.mount(device, place, "ext4"):
        with pytest.raises(in_use.DeviceInUse, match="it is mounted on"):
            in_use.check(device)
        with pytest.raises(BrokenTool, match="is not the run's alone any more"):
            guards.check_again(device)
        with pytest.raises(OSError, match="busy"):
            make_disk(device)


def test_the_run_that_has_claimed_the_device_does_not_hinder_itself(attach: Attach) -> None:
    """Its agent, a child, looks for others who have it open."""
    device = attach("disk")
    look = f"from pathlib import Path; from devicemapper import in_use; print(in_use.why(Path('{device}')))"
    with Claim(device, 1) as claim:
        claim.begin()
        assert subprocess.check_output([sys.executable, "-c", look], text=True) == "\n"

"""Mount namespaces, on the running kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devicemapper import loop, mounts, namespaces, tools
from devicemapper.loop import LoopDevice

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces need root")]

MOUNTS_TMPFS = """
import os, sys
from devicemapper import libc, namespaces
namespaces.make_own()
libc.mount(b"none", os.fsencode(sys.argv[1]), b"tmpfs", 0, b"")
print("mounted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a tmpfs mounted on tmp_path, in a namespace of its own."""
    command = [sys.executable, "-c", MOUNTS_TMPFS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "mounted\n"
        yield process
        process.kill()


def test_what_is_mounted_in_a_namespace_shows_nowhere_else(elsewhere: subprocess.Popen[str], tmp_path: Path) -> None:
    assert mounts.mounts_under(tmp_path) == ()
    assert str(tmp_path) in Path(f"/proc/{elsewhere.pid}/mountinfo").read_text()


def test_a_namespace_can_be_entered_and_stays_as_long_as_it_is_open(
    elsewhere: subprocess.Popen[str], tmp_path: Path
) -> None:
    namespace = namespaces.foreign(elsewhere.pid)
    assert namespace is not None
    elsewhere.kill()
    elsewhere.wait()
    assert namespaces.within(namespace, lambda: mounts.reap(tmp_path)) == (tmp_path,)
    assert namespaces.within(namespace, lambda: mounts.mounts_under(tmp_path)) == ()
    with pytest.raises(ZeroDivisionError):
        namespaces.within(namespace, lambda: 1 // 0)
    os.close(namespace)


def test_our_own_namespace_and_that_of_a_process_that_is_gone_are_not_foreign() -> None:
    assert namespaces.foreign(os.getpid()) is None
    with subprocess.Popen(["true"]) as gone:
        pass
    assert namespaces.foreign(gone.pid) is None


def test_a_mount_has_no_suid_no_devices_and_no_programs(tmp_path: Path) -> None:
    """A user of the machine became root by a suid shell on a stranger's image that root had mounted for a look."""
    with mounts.mount(Path("none"), tmp_path, "tmpfs", ["rw", "size=1m"]):
        flags = os.statvfs(tmp_path).f_flag
        assert flags & os.ST_NOSUID and flags & os.ST_NODEV and flags & os.ST_NOEXEC


FREEZES = """
import fcntl, os, sys
from devicemapper import libc, namespaces
namespaces.make_own()
libc.mount(os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), b"ext4", 0, b"")
fcntl.ioctl(os.open(sys.argv[2], os.O_RDONLY), 0xC0045877, 0)
print("frozen", flush=True)
"""


def test_what_was_frozen_when_its_last_process_died_is_thawed(tmp_path: Path) -> None:
    """Its superblock is mounted nowhere, and keeps the loop device for ever."""
    image, place = tmp_path / "image", tmp_path / "mnt"
    image.touch()
    os.truncate(image, 16 << 20)
    place.mkdir()
    tools.run(["mkfs.ext4", "-q", str(image)], 30)
    disk = LoopDevice(image).__enter__()
    subprocess.run([sys.executable, "-c", FREEZES, disk.path, place], check=True, stdout=subprocess.DEVNULL)
    assert loop.reap(tmp_path, timeout_s=0.5) == (disk.path,)
    assert not any(device.backing_file == image for device in loop.attached())


ATTACHES = """
import sys
from pathlib import Path
from devicemapper import namespaces
from devicemapper.loop import LoopDevice
namespaces.make_own()
print(LoopDevice(Path(sys.argv[1])).__enter__().path, flush=True)
"""


@pytest.mark.parametrize("deleted", [False, True])
def test_a_loop_device_of_another_namespace_is_reaped(tmp_path: Path, deleted: bool) -> None:
    """The kernel tells its backing file by a path that starts at the mount that it was reached by."""
    memory = tmp_path / "memory"
    memory.mkdir()
    with mounts.mount(Path("none"), memory, "tmpfs"):
        ours, theirs = memory / "guest-1", memory / "guest-10"
        for home in (ours, theirs):
            home.mkdir()
            (home / "disk").write_bytes(bytes(1 << 20))
        attach = [sys.executable, "-c", ATTACHES]
        device = Path(subprocess.check_output([*attach, ours / "disk"], text=True).strip())
        with LoopDevice(theirs / "disk") as other:
            if deleted:
                (ours / "disk").unlink()
            assert loop.reap(ours) == (device,)
            assert any(each.path == other.path for each in loop.attached())
    assert not any(each.path == device for each in loop.attached())


def test_a_loop_device_whose_namespace_goes_meanwhile_is_reaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file had another path then, so it was taken to be detached, the file was removed, and the device stayed."""
    detach = loop._detach
    with mounts.mount(Path("none"), tmp_path, "tmpfs"):
        image = tmp_path / "disk"
        image.write_bytes(bytes(1 << 20))
        command = [sys.executable, "-c", f"{ATTACHES}\nsys.stdin.read()", str(image)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
            assert agent.stdout is not None
            device = Path(agent.stdout.readline().strip())

            def told() -> list[Path]:
                return [each.backing_file for each in loop.attached() if each.path == device]

            def detach_late(path: Path, backing_file: Path, timeout_s: float) -> None:
                agent.kill()
                deadline = time.monotonic() + 10
                while told() == [backing_file] and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert told() == [Path("/disk")]
                detach(path, backing_file, timeout_s)

            monkeypatch.setattr(loop, "_detach", detach_late)
            assert loop.reap(tmp_path) == (device,)
        assert told() == []

"""The local lab on a machine that people use: what it mounts nobody sees, and the device that it is given is its own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.aftermath import left_behind
from devicemapper import loop
from devicemapper.loop import LoopDevice
from tests.guest.command_line import TORTURE
from torture.lab import processes, run_id
from torture.lab.disk import DISK_MIB

pytestmark = [
    pytest.mark.guest,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="the local lab needs root"),
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="this kernel has no loop devices"),
]
NOBODY = 65534


@contextmanager
def local_run(results: Path, *options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A run of many trials and its id; it is interrupted in the end."""
    command = [str(word) for word in (TORTURE, "run", "--lab", "local", "--results", results, "--seed", 1, "--fs", "ext4")]
    command += ["--fault", "none", "--count", "40", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        head = running.stdout.readline()
        assert "results in " in head, running.communicate(timeout=60)
        yield running, head.strip().rpartition("/")[2]
        running.terminate()
        running.communicate(timeout=120)


def when_mounted(run: str) -> tuple[int, Path]:
    """An agent of the run that has something mounted, and where."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid in processes.tagged(f"{run_id.ENVIRONMENT}={run}"):
            try:
                mounted = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
            except OSError:
                continue  # it ended
            for line in mounted:
                if "work/mnt" in line and run in line:
                    return pid, Path(line.split()[4])
        time.sleep(0.005)
    raise AssertionError("nothing was mounted")


def test_what_is_mounted_shows_nowhere_else_and_has_no_suid(tmp_path: Path) -> None:
    """Another user of the machine became root by a suid program on a filesystem that was mounted for a moment."""
    with local_run(tmp_path) as (_, run):
        pid, place = when_mounted(run)
        assert run not in Path("/proc/self/mountinfo").read_text()
        (line,) = {line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if str(place) in line}
        assert {"nosuid", "nodev", "noexec"} <= set(line.split()[5].split(","))
        home = Path("/dev/shm") / run if (Path("/dev/shm") / run).exists() else Path("/var/tmp") / run
        seen = subprocess.run(["ls", home], user=NOBODY, group=NOBODY, capture_output=True, text=True, check=False)
        assert "Permission denied" in seen.stderr
        disk = next(home.glob("guest-*/disk.img"))
        read = subprocess.run(["head", "-c1", disk], user=NOBODY, group=NOBODY, capture_output=True, text=True, check=False)
        assert "Permission denied" in read.stderr
    assert left_behind(run) == []


def test_a_given_device_is_described_and_no_second_run_gets_it(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, DISK_MIB << 20)
    with LoopDevice(image) as disk:
        subprocess.run(["mkfs.ext4", "-q", "-L", "home", disk.path], check=True)
        with local_run(tmp_path, "--destroy", disk.path, "--yes") as (running, _):
            second = [
                str(TORTURE),
                "run",
                "--lab",
                "local",
                "--results",
                str(tmp_path),
                "--destroy",
                str(disk.path),
                "--yes",
            ]
            refused = subprocess.run(second, capture_output=True, text=True, check=False)
            assert refused.returncode == 2
            assert "another run, or another program, has locked it" in refused.stderr
            running.terminate()
            output, said = running.communicate(timeout=120)
        assert f"everything on {disk.path} will be lost: {DISK_MIB} MiB, {image}" in said
        assert "it holds ext4 'home'" in said
        assert "unknown" not in output and "fsck" not in output
    assert not any(each.backing_file == image for each in loop.attached())


def test_a_killed_run_does_not_get_a_device_back_that_its_owner_uses_again(tmp_path: Path) -> None:
    """It was wiped, mounted and without a question."""
    image, mounted = tmp_path / "image", tmp_path / "mnt"
    image.touch()
    mounted.mkdir()
    os.truncate(image, DISK_MIB << 20)
    with LoopDevice(image) as disk:
        with local_run(tmp_path, "--destroy", disk.path, "--yes") as (running, run):
            when_mounted(run)
            running.kill()
            running.wait()
        subprocess.run([TORTURE, "clean"], check=True, capture_output=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", disk.path], check=True)
        resume: list[str | Path] = [TORTURE, "resume", tmp_path / run]

        def refusal(*options: str | Path) -> str:
            done = subprocess.run([*resume, *options], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (2, "")
            return str(done.stderr)

        repeated: list[str | Path] = ["--lab", "local", "--destroy", disk.path]
        assert f"repeat what was recorded: torture resume {tmp_path / run} --lab local --destroy {disk.path}" in refusal()
        assert "was not confirmed" in refusal(*repeated)
        subprocess.run(["mount", disk.path, mounted], check=True)
        try:
            (mounted / "work").write_text("of years")
            assert f"it is mounted on {mounted}" in refusal(*repeated, "--yes")
            assert (mounted / "work").read_text() == "of years"
        finally:
            subprocess.run(["umount", mounted], check=True)
        with subprocess.Popen(
            [*map(str, resume), *map(str, repeated), "--yes"], stdout=subprocess.PIPE, text=True
        ) as again:
            assert again.stdout is not None and "results in " in again.stdout.readline()
            again.terminate()
            again.communicate(timeout=120)

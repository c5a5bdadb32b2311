"""The wall around a guest's process: what a confined command can still do, tried with real commands."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from torture.campaign import run_directory
from torture.lab import processes, sandbox
from torture.lab.base import Lab
from torture.lab.choose import LABS, LOCAL
from torture.lab.sandbox import Confinement
from torture.lab.users import guest_user

ROOT = os.geteuid() == 0
TEST = Path("/nowhere/torture-test")
needs_landlock = pytest.mark.skipif(not sandbox.landlock_abi(), reason="this kernel has no Landlock")
needs_root = pytest.mark.skipif(not ROOT, reason="needs root")


@pytest.fixture
def own() -> Iterator[Path]:
    """A directory that the command may write to, in one that everybody may enter, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="torture-test-") as above:
        Path(above).chmod(0o755)
        place = Path(above) / "own"
        place.mkdir()
        if (user := guest_user(TEST)) is not None:
            os.chown(place, user, user)
        yield place


def confined(own: Path, script: str, **further: object) -> subprocess.CompletedProcess[str]:
    """A shell script behind the wall, started in `own`."""
    wall = Confinement(own=[str(own)], user=guest_user(TEST), **further)  # type: ignore[arg-type]
    return subprocess.run(
        sandbox.command(wall, ["sh", "-c", script]), cwd=own, capture_output=True, text=True, timeout=60, check=False
    )


@needs_landlock
@pytest.mark.parametrize(
    "attack",
    [
        "echo x >{sibling}/file",
        "echo x >>{sibling}/there",
        "rm {sibling}/there",
        "mv {sibling}/there mine",
        "ln {sibling}/there mine",
        "chmod 777 {sibling}",
        "mkdir {sibling}/directory",
        "truncate -s 0 {sibling}/there",
        "ln -s {sibling}/there link",
        "mkfifo pipe",
        "mknod disk b 7 0",
        "cat </dev/kmsg",
        "echo x >/dev/tty0",
    ],
)
def test_nothing_is_written_outside_and_nothing_left_that_leads_there(own: Path, attack: str) -> None:
    sibling = own.parent / "sibling"
    sibling.mkdir()
    sibling.chmod(0o777 if "chmod" not in attack else 0o755)
    there = sibling / "there"
    there.write_text("precious")
    there.chmod(0o666)
    done = confined(own, attack.format(sibling=sibling))
    assert done.returncode not in (0, sandbox.EXIT_NOT_CONFINED), done.stderr
    assert [path.name for path in sibling.iterdir()] == ["there"]
    assert there.read_text() == "precious"
    assert not any(own.iterdir())


def test_what_is_its_own_is_its_own(own: Path) -> None:
    done = confined(own, "mkdir d && echo x >d/f && mv d/f d/g && echo y >>d/g && cat d/g && echo z >/dev/null && rm -r d")
    assert (done.returncode, done.stdout) == (0, "x\ny\n"), done.stderr


def test_it_says_what_holds(own: Path) -> None:
    (said,) = confined(own, "true").stderr.splitlines()
    abi = sandbox.landlock_abi()
    assert said.startswith("torture: confined: user ")
    assert "no new privileges" in said
    assert (f"Landlock {abi}" if abi else "NO Landlock") in said


def test_without_landlock_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "landlock_abi", lambda: 0)
    assert "this kernel has no Landlock" in sandbox.what_holds()
    assert "so they may write to" in sandbox.what_holds()


@needs_root
def test_root_becomes_a_user_of_its_own_without_any_capability(own: Path) -> None:
    """A kernel that is made by root had all of root's rights."""
    done = confined(own, "id -u; id -G; grep -E '^(Cap|NoNewPrivs)' /proc/self/status")
    user, groups, *fields = done.stdout.split("\n")
    assert int(user) == guest_user(TEST) != guest_user(TEST / "another") != 0
    assert groups == user
    assert {line.partition(":\t")[2] for line in fields if line.startswith("Cap")} == {"0" * 16}
    assert "NoNewPrivs:\t1" in fields


@needs_root
def test_only_the_right_to_read_stays_and_only_if_it_is_needed(own: Path) -> None:
    hidden = own.parent / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "program").write_text("text")
    read, write = f"cat {hidden}/program", f"echo x >{hidden}/program"
    assert confined(own, read).returncode != 0
    with_it = confined(own, f"{read} && ! {write}", programs=[str(hidden / "program")])
    assert (with_it.returncode, with_it.stdout) == (0, "text")
    assert "capabilities: CAP_DAC_READ_SEARCH" in with_it.stderr


@needs_root
@needs_landlock
def test_no_disk_can_be_read_with_that_right(own: Path) -> None:
    disks = [path for path in Path("/dev").iterdir() if stat.S_ISBLK(path.lstat().st_mode)]
    if not disks:
        pytest.skip("there is no block device here")
    done = confined(own, f"head -c 1 {disks[0]}", programs=["/root", str(own.parent)])
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


def test_what_it_is_to_write_to_must_be_there(tmp_path: Path) -> None:
    if not sandbox.landlock_abi():
        pytest.skip("this kernel has no Landlock")
    done = subprocess.run(
        sandbox.command(Confinement(own=[str(tmp_path / "absent")]), ["true"]), capture_output=True, text=True, check=False
    )
    assert done.returncode == sandbox.EXIT_NOT_CONFINED
    assert "cannot start true confined" in done.stderr


def test_variables_are_for_the_command_alone(own: Path) -> None:
    """LD_PRELOAD for a guest's kernel, for instance, is none for the interpreter that confines it."""
    assert confined(own, "echo $MINE", environment=[("MINE", "a b")]).stdout == "a b\n"


@needs_root
def test_who_hides_its_marker_is_found_by_its_user(own: Path) -> None:
    user = guest_user(TEST)
    assert user is not None
    hidden = subprocess.Popen(
        sandbox.command(Confinement(own=[str(own)], user=user), ["setsid", "env", "-i", "sleep", "600"]), stderr=-1
    )
    assert hidden.stderr
    hidden.stderr.readline()
    assert processes.kill_user(user) >= 1
    assert hidden.wait(20) != 0
    assert processes.kill_user(user) == 0


@pytest.mark.parametrize(
    ("since_abi", "attack"),
    [
        (1, "cat /proc/{pid}/environ"),
        (4, "{python} -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'"),
        (6, "kill -9 {pid}"),
        (6, "{python} -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0{name}\")'"),
    ],
)
def test_other_processes_of_its_user_are_out_of_reach(own: Path, since_abi: int, attack: str) -> None:
    """What an ordinary user's guest could reach is all that the user runs."""
    if sandbox.landlock_abi() < since_abi:
        pytest.skip(f"needs Landlock {since_abi}")
    user = guest_user(TEST)
    as_user: dict[str, Any] = {} if user is None else {"user": user, "group": user, "extra_groups": []}
    name = f"torture-test-{os.getpid()}"
    with (
        subprocess.Popen(["sleep", "600"], cwd="/", **as_user) as other,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        port = server.getsockname()[1]
        script = attack.format(pid=other.pid, port=port, name=name, python="/usr/bin/python3 -I")
        done = confined(own, script)
        alive = other.poll() is None
        unwalled = subprocess.run(["sh", "-c", script], cwd="/", capture_output=True, check=False, **as_user)
        other.kill()
    assert alive
    assert unwalled.returncode == 0, unwalled.stderr
    assert done.returncode not in (0, sandbox.EXIT_NOT_CONFINED), done.stdout
    assert "ermi" in done.stderr, done.stderr


def test_a_run_says_that_there_is_no_wall(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    labs = {name: cast(Lab, SimpleNamespace(name=name)) for name in LABS}
    for abi, chosen, said in ((7, LABS, ""), (0, (LOCAL,), ""), (0, LABS, "this kernel has no Landlock")):
        monkeypatch.setattr(sandbox, "landlock_abi", lambda abi=abi: abi)
        run_directory._say_what_is_missing({name: labs[name] for name in chosen})
        errors = capsys.readouterr().err
        assert said in errors and bool(errors) == bool(said)

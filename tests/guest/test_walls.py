"""Guests that attack their host: what they do to it with the wall, and without it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.guest.command_line import TORTURE
from torture.lab import guest_lab, sandbox
from torture.lab.base import GuestLost
from torture.lab.disk import default_scratch
from torture.lab.guest_lab import one_word
from torture.lab.run_id import Hold, new_run_id
from torture.lab.sandbox import Confinement
from torture.lab.uml import UmlLab

pytestmark = pytest.mark.guest

_ATTACK = """
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -n -t proc proc /proc
mount -n -o remount,rw /
echo owned >{target}/outside
echo owned >{target}/precious
rm {target}/removable
ln -s /etc/passwd {target}/link
mount -n -t tmpfs tmpfs /mnt
mount -n -t hostfs -o {target} none /mnt && echo owned >/mnt/mounted
echo tried >/dev/console
halt -f
"""
CONSOLE = b"tried"


@dataclass(frozen=True, slots=True)
class _Attacked(UmlLab):
    """A lab whose guests run a script instead of the agent."""

    target: Path = Path("/")

    def _first_program(self) -> list[str]:
        return ["init=/bin/sh", "--", "-c", one_word(_ATTACK.format(target=self.target))]


@pytest.fixture
def target() -> Iterator[Path]:
    """A directory to which everybody may write, with files that everybody may change."""
    if not shutil.which("linux.uml"):
        pytest.skip("linux.uml is not installed")
    with tempfile.TemporaryDirectory(prefix="torture-test-") as place:
        yield _filled(Path(place))


def _filled(place: Path) -> Path:
    for name in ("precious", "removable"):
        (place / name).write_text("as it was")
        (place / name).chmod(0o666)
    place.chmod(0o777)
    return place


def attack(tmp_path: Path, target: Path) -> set[str]:
    """Boot a guest that attacks; what there is in `target` afterwards, with a star if it is not what it was."""
    results = tmp_path / "results"
    results.mkdir()
    lab = _Attacked(new_run_id(), results, default_scratch(), target=target)
    try:
        with Hold(lab.run_id, lab.scratch), pytest.raises(GuestLost):
            lab.boot(0)
    finally:
        shutil.rmtree(lab.scratch / lab.run_id, ignore_errors=True)
    assert CONSOLE in (results / "console-0.log").read_bytes()
    return {path.name + ("" if path.read_text() == "as it was" else "*") for path in target.iterdir()}


def test_a_guest_that_remounts_its_root_writes_nowhere(tmp_path: Path, target: Path) -> None:
    if not sandbox.landlock_abi():
        pytest.skip("this kernel has no Landlock")
    assert attack(tmp_path, target) == {"precious", "removable"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_without_landlock_it_writes_only_where_everybody_may(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user of its own is a wall too, if a lower one."""
    _unwalled(monkeypatch, landlock=False)
    target.chmod(0o755)
    (target / "removable").chmod(0o644)
    assert attack(tmp_path, target) == {"precious*", "removable"}


def test_without_any_wall_the_attack_succeeds(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the tests above show something: this is what a guest could do."""
    _unwalled(monkeypatch, landlock=False, user=False)
    assert attack(tmp_path, target) == {"precious*", "outside*", "link*", "mounted*"}


def _unwalled(monkeypatch: pytest.MonkeyPatch, *, landlock: bool, user: bool = True) -> None:
    """Take parts of the wall away. Landlock is taken from the launcher by a copy that finds none."""
    confine = sandbox.command

    def without(wall: Confinement, argv: Sequence[str]) -> list[str]:
        if not user:
            return ["env", *(f"{name}={value}" for name, value in wall.environment), *argv]
        command = confine(replace(wall), argv)
        source = Path(sandbox.__file__).read_text()
        lame = source.replace('if __name__ == "__main__":', 'landlock_abi = lambda: 0\nif __name__ == "__main__":')
        return [*command[:3], "-c", lame, *command[4:]]

    assert not landlock
    monkeypatch.setattr(sandbox, "command", without)
    if not user:
        monkeypatch.setattr(guest_lab, "guest_user", lambda home: None)


def test_any_path_will_do(tmp_path: Path) -> None:
    """`--scratch "/d/my disk"` formatted the file /d/my, and results were refused a path with a blank."""
    name = "my disk/a,b=c/quo\"te's é"
    (tmp_path / "my").write_text("as it was")
    places = ["--scratch", str(tmp_path / name), "--results", str(tmp_path / name / "results")]
    plan = ["--seed", "1", "--fs", "ext4", "--fault", "killed-guest", "--pin", "mlock", "--layout", "hole", "--no-control"]
    done = subprocess.run([str(TORTURE), "run", *places, *plan], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "my").read_text() == "as it was"
    assert [path.name for path in (tmp_path / name).iterdir()] == ["results"], "nothing of the guests is left"


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory of another user, who may not enter tmp_path."""
    with tempfile.TemporaryDirectory(prefix="torture-test-") as place:
        os.chown(place, 1000, 1000)
        yield Path(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all other tests")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_an_ordinary_user_runs_trials(umask: int, home: Path) -> None:
    """With relative places, from its own directory."""
    words = ["--seed", "1", "--fs", "ext4", "--fault", "none", "--pin", "mlock", "--layout", "hole", "--no-control"]
    done = subprocess.run(
        [str(TORTURE), "run", "--results", "results", "--scratch", "scratch", *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=home,
        user=1000,
        group=1000,
        extra_groups=[],
        umask=umask,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.stat().st_uid for path in home.rglob("*")} == {1000}


@pytest.mark.usefixtures("root")
def test_the_local_lab_works_under_any_umask(tmp_path: Path) -> None:
    """Under umask 077 every trial was unknown."""
    words = ["--lab", "local", "--seed", "1", "--fs", "ext4", "--fault", "none", "--pin", "mlock", "--layout", "hole"]
    done = subprocess.run(
        [str(TORTURE), "run", "--results", str(tmp_path), *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        umask=0o077,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def running(place: Path) -> subprocess.Popen[str]:
    """A run of many trials under way, whose first trial is done."""
    command = [str(TORTURE), "run", "--results", str(place), "--seed", "1", "--fs", "ext4", "--count", "60"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(place.glob("torture-*/trials/*/ledger.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_its_report(number: signal.Signals, tmp_path: Path) -> None:
    """SIGHUP ended it at once, without one."""
    with running(tmp_path) as process:
        process.send_signal(number)
        out, errors = process.communicate(timeout=200)
    assert process.returncode == 130, errors
    assert "Outcome: " in out
    assert "torture resume " in errors


def test_two_signals_end_a_run_at_once_in_good_order(tmp_path: Path) -> None:
    """Exit code 1 and "Bad file descriptor" is what came of the job that waited for its guest's answer."""
    with running(tmp_path) as process:
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        out, errors = process.communicate(timeout=200)
    assert process.returncode == 130, errors
    assert "Outcome: " in out
    assert "Traceback" not in errors
    assert "descriptor" not in errors


def test_who_closes_its_ears_does_not_end_a_run(tmp_path: Path) -> None:
    words = f"--results {tmp_path} --seed 1 --fs ext4 --fault none --pin mlock --layout hole --no-control"
    done = subprocess.run(["sh", "-c", f"{TORTURE} run {words} 2>&-"], stdout=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "Outcome: pass" in done.stdout) == (0, True)

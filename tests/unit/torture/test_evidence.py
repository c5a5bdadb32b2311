"""What a stranger sends is evidence, never an instruction: attacks by findings, stores and runs on who uses them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from devicemapper import mounts
from devicemapper.loop import LoopDevice
from tests.unit.torture.fake_lab import FakeLab
from tests.unit.torture.stories import finding, plan
from torture import cli
from torture.campaign import execution, run_config
from torture.campaign.run_config import RunConfig
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.lab.choose import LOCAL, QEMU, UML, KernelChoice, kernel_label
from torture.lab.disk import DISK_MIB
from torture.results.store import Store

needs_loops = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="loop devices need root and a kernel that has them"
)
DEFAULT = (UML, (KernelChoice("", ()),))
ONE_TRIAL = Request({"filesystem": ("ext4",), "layout": ("hole",)}, pages=1, canary=False, control=False, seed=7)
HOSTILE = {
    "a program as kernel": {"lab": "uml", "kernel_path": "./anything", "arguments": ""},
    "a first process": {"lab": "uml", "kernel_path": "linux.uml", "arguments": "init=/path/to/script"},
    "another image": {"lab": "qemu", "kernel_path": "/tmp/bzImage", "arguments": "console=ttyS9"},
    "no guest at all": {"lab": "local", "kernel_path": "the running kernel"},
}
REPEATED = {
    "a program as kernel": "--lab uml --kernel ./anything",
    "a first process": "--lab uml --kernel-arg init=/path/to/script",
    "another image": "--lab qemu --kernel /tmp/bzImage --kernel-arg console=ttyS9",
    "no guest at all": "--lab local",
}


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[KernelChoice, ...]]]:
    """What labs were made, of which kernels; no trial of theirs fails."""
    made = []

    def make_labs(lab: str, kernels: tuple[KernelChoice, ...], *_: object, **__: object) -> dict[str, FakeLab]:
        made.append((lab, tuple(kernels)))
        return {kernel_label(lab, kernel): FakeLab(lambda plan: 0) for kernel in kernels}

    monkeypatch.setattr(run_config, "make_labs", make_labs)
    return made


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """Where to keep results and disks."""
    return ["--results", str(tmp_path / "results"), "--scratch", str(tmp_path / "scratch")]


def torture(*words: object) -> Result:
    return CliRunner().invoke(cli.cli, [str(word) for word in words], standalone_mode=False)


def accepted(*words: object) -> str:
    """What a command line says that is carried out."""
    done = torture(*words)
    assert done.exception is None, (done.output, done.exception)
    return done.output


def refused(*words: object) -> str:
    """The sentence by which a command line is refused."""
    done = torture(*words)
    assert isinstance(done.exception, BadRequest), (done.output, done.exception)
    return str(done.exception)


def config(tmp_path: Path, **changes: Any) -> RunConfig:
    return RunConfig(ONE_TRIAL, tmp_path / "results", tmp_path / "scratch", jobs=1, **changes)


def a_run(stored: RunConfig, **facts: object) -> Path:
    """The directory of a run that has ended, and in whose store somebody wrote."""
    directory = execution.carry_out(stored, lambda _: None).directory
    with Store(directory, resume=True) as store:
        store.describe(**facts)
    return directory


# -- findings and trials ----------------------------------------------------------------------------------------------


@pytest.fixture
def found(tmp_path: Path, attack: str) -> Path:
    """The directory of a finding that somebody sent."""
    directory = tmp_path / "finding"
    directory.mkdir()
    (directory / "finding.json").write_text(json.dumps(asdict(finding())))
    (directory / "plan.json").write_text(plan().to_json())
    (directory / "versions.json").write_text(json.dumps(HOSTILE[attack]))
    return directory


COMMANDS = (
    ["replay", "--times", "1"],
    ["shrink", "--time", "60"],
    ["compare", "--pairs", "2", "--finding"],
)


@pytest.mark.parametrize("attack", HOSTILE)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_finding_chooses_neither_kernel_nor_arguments_nor_lab(
    found: Path, attack: str, command: list[str], booted: list[object], places: list[str]
) -> None:
    """`torture replay .`, as the README of a bundle says, ran what versions.json named, as root."""
    done = torture(*command, found, *places)
    assert booted and set(booted) == {DEFAULT}, done.output
    how = f"repeat it: torture {command[0]}{' --finding' * (command[0] == 'compare')} {found} {REPEATED[attack]}"
    assert how in done.output


@pytest.mark.parametrize("attack", HOSTILE)
def test_what_is_shown_of_a_finding_can_be_repeated(
    found: Path, attack: str, booted: list[tuple[str, tuple[KernelChoice, ...]]], places: list[str]
) -> None:
    shown = next(
        line for line in torture("replay", "--times", 1, found, *places).output.splitlines() if "repeat it" in line
    )
    booted.clear()
    done = torture(*shlex.split(shown.partition("repeat it: torture ")[2]), "--times", 1, *places)
    recorded, ((lab, (kernel,)),) = HOSTILE[attack], booted
    assert "repeat it" not in done.output and lab == recorded["lab"]
    assert " ".join(kernel.arguments) == recorded.get("arguments", "")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_trial_of_a_store_chooses_nothing_either(
    tmp_path: Path, command: list[str], booted: list[object], places: list[str]
) -> None:
    hostile = config(tmp_path, lab=UML, kernels=(KernelChoice("./anything", ("init=/x",)),))
    run = a_run(hostile)
    booted.clear()
    done = torture(*command, run / "1", *places)
    assert booted and set(booted) == {DEFAULT}
    assert "--lab uml --kernel ./anything --kernel-arg init=/x" in done.output


@pytest.mark.parametrize("versions", ['{"lab": 1}', "[]", '{"lab": "uml", "kernel_path": []}', '{"lab": "moon"}'])
def test_versions_that_are_none_are_one_sentence(tmp_path: Path, versions: str, places: list[str]) -> None:
    (tmp_path / "finding.json").write_text(json.dumps(asdict(finding())))
    (tmp_path / "plan.json").write_text(plan().to_json())
    (tmp_path / "versions.json").write_text(versions)
    assert "is no whole finding" in refused("replay", tmp_path, *places)


# -- runs -------------------------------------------------------------------------------------------------------------


SETTINGS: dict[str, dict[str, Any]] = {
    "lab": {"lab": LOCAL},
    "qemu": {"lab": QEMU},
    "kernel": {"kernels": (KernelChoice("./any\x1bthing", ()),)},
    "arguments": {"kernels": (KernelChoice("", ("init=/path to/script", "x=$(reboot)")),)},
    "program": {"on_finding": "/path/to/program"},
}


@pytest.mark.parametrize("changed", SETTINGS)
def test_a_run_that_is_resumed_chooses_nothing_that_its_user_does_not_repeat(
    tmp_path: Path, changed: str, booted: list[object], places: list[str]
) -> None:
    run = a_run(config(tmp_path, **SETTINGS[changed]))
    booted.clear()
    said = refused("resume", run, *places)
    assert booted == [] and said.isprintable() and "no lab, kernel, program or device is taken from what is stored" in said
    again = subprocess.run(["bash", "-c", f"printf '%s\\0' {said.partition('recorded: torture ')[2]}"], capture_output=True)
    accepted(*again.stdout.decode().split("\0")[:-1], *places)
    assert len(booted) == 1


def test_a_shrink_that_goes_on_chooses_nothing_either(tmp_path: Path, booted: list[object], places: list[str]) -> None:
    (tmp_path / "plan.json").write_text(plan().to_json())
    accepted("shrink", tmp_path / "plan.json", "--lab", "local", *places)
    (run,) = (tmp_path / "results").iterdir()
    booted.clear()
    assert f"repeat what was recorded: torture shrink {run} --lab local" in refused("shrink", run, *places)
    assert booted == []
    accepted("shrink", run, "--lab", "local", *places)


def test_options_that_are_not_those_of_the_run_are_refused(tmp_path: Path, booted: list[object], places: list[str]) -> None:
    run = a_run(config(tmp_path))
    assert f"repeat what was recorded: torture resume {run}" in refused("resume", run, "--lab", "local", *places)
    accepted("resume", run, *places)


def test_the_campaign_file_says_it_all(tmp_path: Path, booted: list[object], places: list[str]) -> None:
    file = tmp_path / "campaign.toml"
    text = 'jobs = 1\nlab = "local"\non_finding = "/bin/tell"\n[budget]\ntrials = 1\n[include]\nlayout = ["hole"]\n'
    file.write_text(text)
    accepted("campaign", file, *places)
    (run,) = (tmp_path / "results").iterdir()
    assert f"torture resume {run} --file CAMPAIGN.toml" in refused("resume", run, *places)
    assert "leave out --lab" in refused("resume", run, "--file", file, "--lab", "local", *places)
    accepted("resume", run, "--file", file, *places)
    file.write_text(text.replace("/bin/tell", "/bin/else").replace("jobs = 1", "jobs = 2"))
    assert "does not say what is recorded of the run: jobs, on_finding" in refused("resume", run, "--file", file, *places)


def test_kernels_with_arguments_of_their_own_are_repeated_by_the_campaign_file(
    tmp_path: Path, booted: list[object], places: list[str]
) -> None:
    kernels = (KernelChoice("a", ("x",)), KernelChoice("b", ("y",)))
    run = a_run(config(tmp_path, kernels=kernels, endless=True, most_trials=1))
    assert refused("resume", run, *places).partition("recorded: ")[2].startswith(f"torture resume {run} --file CAMPAIGN")


def test_no_place_comes_from_a_store(tmp_path: Path, booted: list[object], places: list[str]) -> None:
    """`resume` of a store with run = "/home/x", or "home" and scratch = "/", removed that directory with all in it."""
    home = tmp_path / "victim/home"
    home.mkdir(parents=True)
    (home / "work").write_text("of years")
    stored = config(tmp_path)
    elsewhere = replace(stored, scratch=home.parent)
    for facts in ({"run": str(home)}, {"run": "home", "config": elsewhere.to_dict()}, {"run": 1}, {"run": None}):
        run = a_run(stored, **facts)
        said = refused("resume", run, *places)
        assert "the directory of a run has its name" in said or "fact 'run': found" in said
        assert (home / "work").read_text() == "of years"


def test_results_that_lie_where_a_store_says_its_disks_are_stay(
    tmp_path: Path, booted: list[object], places: list[str]
) -> None:
    stored = config(tmp_path)
    run = a_run(stored)
    with Store(run, resume=True) as store:
        store.describe(config=replace(stored, scratch=tmp_path / "victim", results=tmp_path / "elsewhere").to_dict())
    (tmp_path / "victim" / run.name).mkdir(parents=True)
    (tmp_path / "victim" / run.name / "work").write_text("of years")
    accepted("resume", run, *places)
    assert (tmp_path / "victim" / run.name / "work").exists() and not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("purpose", ["run", "shrink"])
def test_a_run_under_another_name_than_its_own_is_refused(
    tmp_path: Path, booted: list[object], places: list[str], purpose: str
) -> None:
    run = a_run(config(tmp_path), purpose=purpose)
    other = run.rename(run.with_name("torture-20200101-000000-abcdef"))
    command = {"run": "resume", "shrink": "shrink"}[purpose]
    assert f"says that it is run '{run.name}'" in refused(command, other, *places)


def test_a_run_with_a_link_in_it_writes_nowhere_else(tmp_path: Path, booted: list[object], places: list[str]) -> None:
    run = a_run(config(tmp_path))
    (tmp_path / "victim").write_text("")
    for name in ("console-0.log", "trials/00009", "findings"):
        (run / name).symlink_to(tmp_path / "victim")
        assert "is neither a file nor a directory; a run has no links" in refused("resume", run, *places)
        (run / name).unlink()
    accepted("resume", run, *places)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_run_of_another_user_is_not_gone_on_with(tmp_path: Path, booted: list[object], places: list[str]) -> None:
    run = a_run(config(tmp_path))
    os.chown(run, 65534, 65534)
    assert "belongs to another user" in refused("resume", run, *places)


# -- devices ----------------------------------------------------------------------------------------------------------


@contextmanager
def attached(path: Path) -> Iterator[Path]:
    """A device with a file system, over a file."""
    if not path.exists():
        path.touch()
        os.truncate(path, DISK_MIB << 20)
        subprocess.run(["mkfs.ext4", "-q", path], check=True)
    with LoopDevice(path) as device:
        yield device.path


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    with attached(tmp_path / "image") as path:
        yield path


@pytest.fixture
def run(tmp_path: Path, device: Path, booted: list[object], places: list[str]) -> Path:
    """A run that was given the device."""
    words = ["--fs", "ext4", "--layout", "hole", "--no-control", "--jobs", 1, "--seed", 7]
    accepted("run", "--lab", "local", "--destroy", device, "--yes", *words, *places)
    booted.clear()
    (directory,) = (tmp_path / "results").iterdir()
    return directory


@needs_loops
def test_a_run_does_not_take_its_device_again_without_a_word(
    tmp_path: Path, run: Path, device: Path, booted: list[object], places: list[str]
) -> None:
    """Run, SIGKILL, mkfs and mount of the device by its owner, resume: it was wiped."""
    shown = f"repeat what was recorded: torture resume {run} --lab local --destroy {device}"
    assert shown in refused("resume", run, *places)
    assert shown in refused("resume", run, "--lab", "local", *places)
    again = ("resume", run, "--lab", "local", "--destroy", device, *places)
    assert "was not confirmed; add --yes" in refused(*again)
    (there := tmp_path / "mnt").mkdir()
    with mounts.mount(device, there, "ext4"):
        assert "it is mounted on" in refused(*again, "--yes")
    assert booted == []
    accepted(*again, "--yes")


@needs_loops
def test_another_device_is_not_the_one_of_the_run(
    tmp_path: Path, run: Path, device: Path, booted: list[object], places: list[str]
) -> None:
    with attached(tmp_path / "other") as other:
        said = refused("resume", run, "--lab", "local", "--destroy", other, "--yes", *places)
    assert f"--destroy {other} is not the device that the run began on: loop_file was '{tmp_path}/image" in said
    assert booted == []


@needs_loops
def test_a_store_names_no_device_without_its_identity(
    tmp_path: Path, device: Path, booted: list[object], places: list[str]
) -> None:
    run = a_run(config(tmp_path, lab=LOCAL, destroy=device))
    booted.clear()
    assert "does not say which device" in refused("resume", run, "--lab", "local", "--destroy", device, "--yes", *places)
    assert booted == []

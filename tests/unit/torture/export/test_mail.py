"""Mails and bundles, from a run that is stored as `torture run` stores one."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.failures import failure
from tests.unit.torture import stories
from torture.campaign.run_config import RunConfig
from torture.draw.arm import Arm
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.export.bundle import write_bundle
from torture.export.failure import Failure, Frequency, find_failure
from torture.export.mail import COLUMNS, dump, write_mail
from torture.judge import judge
from torture.reproduce.subject import PLAN, find_subject
from torture.results.store import Store, Task, Trial
from torture.rig.record import KERNEL_LOG
from verify.stamp import Look

TORTURE = Path(sys.executable).with_name("torture")


UML_FACTS = {"lab": "uml", "kernel_path": "/k/linux", "arguments": ""}


def _run(results: Path, lab: dict[str, str] = UML_FACTS) -> Path:
    """A run of two trials of one plan: in the first, all pages are zeros in the end; the second keeps them."""
    run = results / "torture-1"
    plan = stories.plan()
    store = Store(_made(run), create=True)
    config = RunConfig(request=Request(), results=results, scratch=results)
    store.describe(run=run.name, config=config.to_dict(), seed=1, labs={"k": lab})
    for number, cold in ((1, Look.ZERO), (2, Look.OWN)):
        directory = _made(run / "trials" / f"{number:05d}")
        stories.leave(directory, plan, record=stories.ran(kernel="6.1.0"), cold=cold)
        (directory / PLAN).write_text(plan.to_json())
        (directory / KERNEL_LOG).write_text("1.000000 EXT4-fs (dm-0): mounted filesystem " + "with a long line " * 9)
        store.schedule(Task(number, Arm.pinned, plan, "k"))
        store.add(Trial(number, Arm.pinned, plan, judge(plan, directory), {}, 1.0, "6.1.0", (), "k"))
    store.close()
    return run


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory


def test_a_mail_says_everything_in_72_columns(tmp_path: Path) -> None:
    text = write_mail(find_failure(_run(tmp_path), tmp_path, 1, ""))
    assert text.startswith("Subject: [BUG] ext4: ")
    assert max(map(len, text.splitlines())) <= COLUMNS
    for heading in ("Kernel and configuration", "Steps", "Expected", "Found", "Frequency", "First bad page", "Kernel log"):
        assert f"\n{heading}\n" in text
    for said in ("kernel: 6.1.0", "mkfs.ext4", "pin mlock", "generation 1", "zeros", "1 of 2 trials", "not reported"):
        assert said in text
    assert "00000000: 0000 0000" in text and "EXT4-fs (dm-0)" in text


@pytest.mark.parametrize(
    ("facts", "said", "placeholder"),
    [
        (UML_FACTS, "User-mode Linux (linux); its configuration: linux --showconfig", "PATH-OF-A-USER-MODE-LINUX"),
        ({"lab": "qemu", "kernel_path": "/boot/vmlinuz-6.1"}, "in a virtual machine (qemu, 2", "PATH-OF-A-BZIMAGE"),
        ({"lab": "local", "kernel_path": "the running kernel"}, "on the machine itself (the running kernel)", ""),
    ],
    ids=["uml", "qemu", "local"],
)
def test_each_lab_is_called_by_its_name(tmp_path: Path, facts: dict[str, str], said: str, placeholder: str) -> None:
    failed = find_failure(_run(tmp_path, facts), tmp_path, 1, "")
    text = write_mail(failed)
    assert said in " ".join(text.split()) and ("User-mode" in text) == (facts["lab"] == "uml")
    write_bundle(failed, tmp_path / "b.tar.gz")
    with tarfile.open(tmp_path / "b.tar.gz") as packed:
        packed.extractall(tmp_path / "out")
    readme = (tmp_path / "out/b/README").read_text()
    assert f"torture replay . {f'--kernel {placeholder}' if placeholder else '--lab local'}" in readme
    assert ("PATH-OF-A" in readme) == bool(placeholder)


@pytest.mark.parametrize("kind", ["lost", "late", "clone-changed", "hang"])
@pytest.mark.parametrize("filesystem", ["ext2", "btrfs:nodatacow"])
def test_subjects_fit_whatever_the_finding(tmp_path: Path, kind: str, filesystem: str) -> None:
    plan, finding = failure(filesystem, "alternating", "power-cut", pin="mlockall-future-onfault")
    finding = replace(finding, kind=kind, found="x" * 200, expected="word " * 60)  # type: ignore[arg-type]
    text = write_mail(Failure(plan, finding, tmp_path, frequency=Frequency(3, 10, "no control arm was run")))
    assert max(len(line) for line in text.splitlines() if "xxx" not in line) <= COLUMNS


def test_a_subject_is_not_cut_within_a_phrase(tmp_path: Path) -> None:
    plan, finding = failure("xfs", "hole", "replay", pin="mlock")
    text = write_mail(Failure(plan, finding, tmp_path, frequency=Frequency(3, 10, "no control arm was run")))
    assert text.splitlines()[0] == "Subject: [BUG] xfs: accepted mmap stores silently lost"


@pytest.mark.parametrize(
    ("pin", "mapping"),
    [
        ("mlock", " of an mlocked mapping"),
        ("munlocked", " of a mapping that was munlocked again"),
        ("map-populate", " of a MAP_POPULATE mapping"),
        ("none", ""),
    ],
)
def test_a_mail_says_what_the_pin_did_to_the_mapping(tmp_path: Path, pin: str, mapping: str) -> None:
    plan, finding = failure("xfs", "hole", pin=pin)
    text = write_mail(Failure(plan, finding, tmp_path))
    assert f"xfs: accepted mmap stores silently lost on hole pages{mapping}, clean remount. The stores" in " ".join(
        text.split()
    )


def test_a_trial_without_a_finding_is_no_bug_report(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no finding to report"):
        write_mail(find_failure(_run(tmp_path), tmp_path, 2, ""))


def test_a_kind_that_was_not_found_names_those_that_were(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no finding of kind torn; it has lost"):
        find_failure(_run(tmp_path), tmp_path, 1, "torn")


def test_a_dump_leaves_out_what_repeats() -> None:
    assert list(dump(bytes(4096))) == [
        "00000000: 0000 0000 0000 0000 0000 0000 0000 0000  ................",
        "*",
        "(zeros to the end)",
    ]


def test_a_bundle_replays_elsewhere(tmp_path: Path) -> None:
    archive, out = tmp_path / "bundle.tar.gz", tmp_path / "out"
    found = find_failure(_run(tmp_path), tmp_path, 1, "")
    write_bundle(found, archive)
    with tarfile.open(archive) as packed:
        packed.extractall(out)
    home = out / "bundle"
    names = {path.name for path in home.iterdir()}
    assert {"README", "plan.json", "finding.json", "versions.json", "ledger.jsonl", "cold-1.jsonl", "record.json"} <= names
    assert {"reproduce.c", "reproduce.sh", "mail.txt", "kernel.log"} <= names
    readme = (home / "README").read_text()
    assert "torture replay ." in readme and all(name in readme for name in names - {"README"})
    assert find_failure(home / "plan.json", tmp_path, None, "").plan == found.plan
    assert find_failure(home, tmp_path, None, "").finding == found.finding
    unpacked = find_subject(home, tmp_path)
    assert unpacked.plan == found.plan and [key.kind for key in unpacked.expected] == ["lost"]
    assert unpacked.recorded["kernel"] == "6.1.0" and unpacked.directory == home


def _torture(*words: object) -> subprocess.CompletedProcess[str]:
    command = [str(TORTURE), "export", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def test_the_command_writes_every_form(tmp_path: Path) -> None:
    run = _run(tmp_path)
    forms = ("--c", tmp_path / "c", "--fstests", tmp_path / "f", "--fstests-old", "--bundle", tmp_path / "b.tar.gz")
    done = _torture(run, "--trial", 1, *forms, "--mail", tmp_path / "mail")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("c/reproduce.sh", "f/tests/generic/999", "b.tar.gz", "mail"):
        assert (tmp_path / name).exists()
    assert _torture(run, "--mail").stdout == (tmp_path / "mail").read_text()


def test_a_plan_is_enough_for_a_program_but_not_for_a_mail(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(json.loads(stories.plan().to_json())))
    assert _torture(plan, "--c", tmp_path / "c").returncode == 0
    with pytest.raises(BadRequest, match="a plan without findings"):
        find_failure(plan, tmp_path, None, "lost")
    refused = _torture(plan, "--mail")
    assert refused.returncode == 2 and "no finding to report" in refused.stderr


@pytest.mark.parametrize("words", [(), ("--fstests-old", "--mail"), ("--trial", 9, "--mail")])
def test_wrong_options_give_one_sentence(tmp_path: Path, words: tuple[object, ...]) -> None:
    done = _torture(_run(tmp_path), *words)
    assert done.returncode == 2 and done.stderr.startswith("torture: ") and done.stderr.count("\n") == 1

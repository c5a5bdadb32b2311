"""What a stranger sends is read as the files of a finding, and shows no other file of the machine it is read on."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.torture import stories
from tests.unit.torture.export.nasty import is_shown, texts
from torture.campaign.run_config import RunConfig
from torture.draw.arm import Arm
from torture.draw.request import Request
from torture.errors import BadRequest, TortureError
from torture.export.bundle import write_bundle
from torture.export.failure import find_failure
from torture.export.mail import write_mail
from torture.judge import judge
from torture.reproduce.subject import find_subject
from torture.results.store import Store, Task, Trial
from verify import codec
from verify.stamp import Look

TORTURE = Path(sys.executable).with_name("torture")
SECRET = "root:$6$secret:"
VERSIONS = {"lab": "uml", "kernel_path": "/k/linux", "arguments": "quiet"}


def _finding(home: Path, versions: dict[str, Any] = VERSIONS, **words: Any) -> Path:
    """The directory of a finding as somebody sends it."""
    home.mkdir(exist_ok=True)
    plan = stories.plan()
    stories.leave(home, plan, record=stories.ran(kernel="6.1.0"), cold=Look.ZERO)
    (home / "plan.json").write_text(plan.to_json())
    (home / "finding.json").write_text(codec.encode(replace(stories.finding(), **words)))
    (home / "versions.json").write_text(json.dumps(versions))
    (home / "README").write_text("as it was recorded\n")
    (home / "kernel.log").write_text("1.0 EXT4-fs: mounted\n")
    return home


def _exported(home: Path) -> str:
    """All that a mail and a bundle of it hold."""
    failure = find_failure(home, home, None, "")
    archive = home.parent / "b.tar.gz"
    write_bundle(failure, archive)
    with tarfile.open(archive) as packed:
        members = [packed.extractfile(member) for member in packed.getmembers() if member.isfile()]
        return write_mail(failure) + "".join(member.read().decode(errors="replace") for member in members if member)


@pytest.mark.parametrize(
    "name",
    ["kernel.log", "README", "record.json", "ledger.jsonl", "cold-1.jsonl", "plan.json", "finding.json", "versions.json"],
)
def test_a_link_shows_no_other_file(tmp_path: Path, name: str) -> None:
    home, secret = _finding(tmp_path / "f"), tmp_path / "shadow"
    secret.write_text(f"{SECRET}\n" if name in ("kernel.log", "README") else (home / name).read_text())
    (home / name).unlink()
    (home / name).symlink_to(secret)
    with pytest.raises(TortureError, match=r"symbolic link|no regular file") as refused:
        assert SECRET not in _exported(home), "the file that was linked is in the mail or the bundle"
        pytest.fail("a link was followed")
    assert name in str(refused.value) and "\n" not in str(refused.value)


def test_a_link_among_other_files_is_named(tmp_path: Path) -> None:
    (_finding(tmp_path / "f") / "extra.txt").symlink_to("/etc/passwd")
    with pytest.raises(BadRequest, match=r"extra.txt: it is no regular file"):
        _exported(tmp_path / "f")


def test_nothing_waits_for_a_fifo(tmp_path: Path) -> None:
    home = _finding(tmp_path / "f")
    (home / "kernel.log").unlink()
    os.mkfifo(home / "kernel.log")
    done = subprocess.run(
        [TORTURE, "export", home, "--mail"],
        capture_output=True,
        text=True,
        timeout=20,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.endswith("allowed are the files as a trial leaves them\n"), done.stderr


def test_damaged_evidence_is_named(tmp_path: Path) -> None:
    home = _finding(tmp_path / "f")
    (home / "cold-1.jsonl").write_text("what is this\n")
    with pytest.raises(BadRequest, match=r"cannot use .*cold-1.jsonl, line 1"):
        write_mail(find_failure(home, home, None, ""))


def test_a_huge_kernel_log_is_read_from_its_end(tmp_path: Path) -> None:
    home = _finding(tmp_path / "f")
    with (home / "kernel.log").open("r+b") as log:
        log.truncate(1 << 40)
        log.seek(0, os.SEEK_END)
        log.write(b"\nthe end\n")
    assert "  the end\n" in write_mail(find_failure(home, home, None, ""))


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({**VERSIONS, "lab": "moon"}, r"versions.json: lab: .moon. is unknown; allowed are uml, qemu, local"),
        ({**VERSIONS, "kernel_path": 7}, r"versions.json: kernel_path: found 7; allowed is text"),
        ({**VERSIONS, "arguments": ["x"]}, r"versions.json: arguments: found"),
        ({**VERSIONS, "on_finding": "/bin/sh"}, r"versions.json: field .on_finding. is unknown"),
        ({"lab": "uml"}, r"versions.json: field .kernel_path. is missing"),
        ({**VERSIONS, "mkfs": {"a": 1}}, r"versions.json: mkfs: found"),
    ],
)
def test_versions_that_no_run_writes_are_refused_by_field(tmp_path: Path, versions: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        find_subject(_finding(tmp_path / "f", versions), tmp_path)


@pytest.mark.parametrize("field", ["first_page", "pages", "sectors", "file"])
def test_text_where_a_number_belongs_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(BadRequest, match=rf"finding.json: {field}: found .*; allowed is a whole number"):
        find_subject(_finding(tmp_path / "f", VERSIONS, **{field: '1; system("id")'}), tmp_path)


def test_kernel_arguments_are_words_of_the_command_that_a_bundle_gives(tmp_path: Path) -> None:
    arguments = "quiet $(id);`id` 'x"
    write_bundle(
        find_failure(_finding(tmp_path / "f", {**VERSIONS, "arguments": arguments}), tmp_path, None, ""), tmp_path / "b"
    )
    with tarfile.open(tmp_path / "b") as packed:
        packed.extractall(tmp_path / "out")
    (line,) = (line for line in (tmp_path / "out/b/README").read_text().splitlines() if "--kernel-arg" in line)
    words = shlex.split(line)
    assert [words[at + 1] for at, word in enumerate(words) if word == "--kernel-arg"] == arguments.split()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_a_finding_says_its_exports_steer_no_terminal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    where = tmp_path_factory.mktemp("nasty")
    versions: dict[str, Any] = {
        name: data.draw(texts) for name in ("kernel_path", "arguments", "kernel", "mkfs", "mkfs_options")
    }
    words: dict[str, Any] = {name: data.draw(texts) for name in ("name", "layout", "pin", "expected", "found", "reported")}
    home = _finding(where / "f", {**versions, "lab": data.draw(st.sampled_from(["uml", "qemu", "local"]))}, **words)
    (home / "README").write_bytes(data.draw(texts).encode("utf-8", "surrogatepass"))
    if any("\ud800" <= letter <= "\udfff" for text in (*versions.values(), *words.values()) for letter in text):
        with pytest.raises(BadRequest):  # half a pair is no text
            find_failure(home, where, None, "")
        return
    write_bundle(find_failure(home, where, None, ""), where / "b.tar.gz")
    with tarfile.open(where / "b.tar.gz") as packed:
        packed.extractall(where / "out")
    for made in ("README", "mail.txt", "reproduce.c", "reproduce.sh", "versions.json", "finding.json"):
        assert is_shown((where / "out/b" / made).read_text()), made


def test_a_trial_whose_directory_is_a_link_is_refused(tmp_path: Path) -> None:
    elsewhere, plan = _finding(tmp_path / "f"), stories.plan()
    run = tmp_path / "torture-1"
    (run / "trials").mkdir(parents=True)
    (run / "trials/00001").symlink_to(elsewhere)
    with Store(run, create=True) as store:
        config = RunConfig(request=Request(), results=tmp_path, scratch=tmp_path)
        store.describe(run=run.name, config=config.to_dict(), seed=1, labs={"k": VERSIONS})
        store.schedule(Task(1, Arm.pinned, plan, "k"))
        store.add(Trial(1, Arm.pinned, plan, judge(plan, elsewhere), {}, 1.0, "6.1.0", (), "k"))
    with pytest.raises(BadRequest, match="trials/00001 is a symbolic link"):
        find_failure(run, tmp_path, 1, "")

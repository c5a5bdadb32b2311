"""`torture verify --image` on disks that real kernels left: one with a planted bug, and a healthy one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.guest.command_line import TORTURE
from torture.draw.matrix import draw
from torture.draw.request import Request
from torture.judge import judge
from torture.lab.disk import copy_image, default_scratch
from torture.lab.run_id import Hold, new_run_id
from torture.lab.uml import UmlLab
from torture.plan import Plan
from torture.rig.record import LEDGER

FACTS = ("kind", "promise", "name", "first_page", "pages", "sectors", "expected", "found", "reported", "read")
LABS = ("uml", "local") if os.geteuid() == 0 else ("uml",)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """An mlocked hole, stored to and synced, then a power cut."""
    request = Request({"filesystem": ("xfs",), "layout": ("hole",), "fault": ("power-cut",)}, workers=1)
    return draw(replace(request, pages=4, canary=False))[0].plan


def leave_disk(plan: Plan, kernel: str, mutant: int, directory: Path) -> Path:
    """Carry out a trial and keep its disk; ledger and observations are in the directory."""
    run_id, scratch = new_run_id(), default_scratch()
    (directory / "trial").mkdir(parents=True)
    lab = UmlLab(run_id, directory, scratch, kernel, (f"mutant={mutant}",))
    with Hold(run_id, scratch):
        guest = lab.boot(0)
        try:
            guest.run(plan, directory / "trial", lambda _: None)
            copy_image(guest.disk, directory / "disk.img")
        finally:
            guest.end()
    return directory / "trial"


def places(tmp_path: Path) -> tuple[object, ...]:
    return "--results", tmp_path / "results"


def verify(*words: object) -> tuple[int, Any]:
    command = [str(word) for word in (TORTURE, "verify", "--json", *words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


@pytest.mark.guest
def test_an_image_fails_as_its_trial_did_and_stays_as_it_was(plan: Plan, mutants: str, tmp_path: Path) -> None:
    trial = leave_disk(plan, mutants, 2, tmp_path / "bad")
    image, told = tmp_path / "bad/disk.img", judge(plan, trial).findings
    before = hashlib.file_digest(image.open("rb"), "sha256").hexdigest()
    for lab in LABS:
        code, judged = verify("--image", image, "--ledger", trial / LEDGER, "--lab", lab, *places(tmp_path))
        assert code == 3 and judged["filesystem"] == "xfs" and judged["outcome"] == "fail"
        assert judged["findings"] and [tuple(found[fact] for fact in FACTS) for found in judged["findings"]] == [
            tuple(getattr(found, fact) for fact in FACTS) for found in told if found.read == "cold"
        ]
    assert hashlib.file_digest(image.open("rb"), "sha256").hexdigest() == before
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.guest
def test_a_healthy_image_passes_and_is_not_taken_for_anothers(plan: Plan, mutants: str, tmp_path: Path) -> None:
    trial = leave_disk(plan, mutants, 0, tmp_path / "good")
    image = tmp_path / "good/disk.img"
    code, judged = verify("--image", image, "--ledger", trial / LEDGER, *places(tmp_path))
    assert code == 0 and judged["outcome"] == "pass" and judged["findings"] == []
    other = tmp_path / "other.jsonl"
    begin, *rest = (trial / LEDGER).read_text().splitlines(keepends=True)
    other.write_text(begin.replace(str(plan.stamp_run), "77") + "".join(rest))
    code, said = verify("--image", image, "--ledger", other, *places(tmp_path))
    assert code == 2 and "nothing on image" in said and said.count("\n") == 1

"""`torture run` on real kernels: what keeps data passes, what loses it is found, nothing passes by doing nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.command_line import TORTURE, Run

pytestmark = pytest.mark.guest

Torture = Callable[..., Run]


def test_the_packaged_kernel_keeps_what_it_accepted_but_ext2_and_jfs_are_late(torture: Torture) -> None:
    run = torture("--fs", "ext4", "--fs", "btrfs", "--fs", "f2fs", "--fs", "ext2", "--fs", "jfs", "--no-known")
    outcomes = run.outcomes()
    for filesystem in ("ext4", "btrfs", "f2fs"):
        for fault in ("none", "enospc", "power-cut"):
            assert outcomes[filesystem, fault] == {"pass"}, (filesystem, fault)
    for filesystem in ("ext2", "jfs"):
        assert outcomes[filesystem, "none"] == {"pass"}
        assert outcomes[filesystem, "enospc"] == {"late"}
    assert run.outcomes(arm="canary") == {
        (name, "lying-disk"): {"pass"} for name in ("ext4", "btrfs", "f2fs", "ext2", "jfs")
    }
    late = [finding for finding in run.document["findings"] if finding["kind"] == "late"]
    assert {(finding["filesystem"], finding["layout"], finding["reported"]) for finding in late} == {
        ("ext2", "hole", "ENOSPC"),
        ("jfs", "hole", "ENOSPC"),
    }
    assert run.exit_code == 6
    assert _verified(run.directory) == (run.exit_code, run.document["findings"])


def test_what_is_known_of_stock_kernels_is_told_and_does_not_count(torture: Torture) -> None:
    run = torture("--fs", "ext2", "--layout", "hole", "--fault", "enospc", "--pin", "mlock", "--sync", "msync")
    assert run.outcomes()["ext2", "enospc"] == {"late"}
    assert [entry["name"] for entry in run.document["known_findings"]] == ["ext2-full-late"]
    assert (run.exit_code, run.document["findings"]) == (0, [])
    assert _verified(run.directory) == (0, [])


def test_every_entry_that_a_kernel_shows_in_a_trial_holds(torture: Torture, tmp_path: Path) -> None:
    entries = ["ext2-full-late", "jfs-full-untold", "jfs-past-the-end"]
    done = subprocess.run(
        [TORTURE, "known", "check", "--results", tmp_path, *entries], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 entries hold, 0 should and were not seen" in done.stdout


def _verified(directory: Path) -> tuple[int, object]:
    """`torture verify` judges the stored run again, offline."""
    done = subprocess.run([TORTURE, "verify", "--json", directory], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["findings"]


def test_every_fault_left_its_proof(torture: Torture) -> None:
    run = torture("--fs", "ext4", "--no-control")
    evidence = {trial["fault"]: " ".join(trial["evidence"]) for trial in run.document["trials"]}
    assert "x store SIGBUS" in evidence["enospc"] and "KiB written until ENOSPC" in evidence["enospc"]
    assert "0 the disk below it" in evidence["power-cut"]
    assert "0 the disk below it" in evidence["lying-disk"]
    assert run.exit_code == 0


def test_the_healthy_mutant_kernel_passes(torture: Torture, mutants: str) -> None:
    run = torture("--fs", "xfs", "--kernel", mutants, "--kernel-arg", "mutant=0")
    assert run.exit_code == 0 and run.document["findings"] == []


@pytest.mark.parametrize(
    ("mutant", "expected"),
    [
        (1, {("hole", "none", "lost"), ("reflinked", "none", "clone-changed")}),
        (2, {("hole", "none", "lost")}),
        (5, {("hole", "power-cut", "lost"), ("written", "power-cut", "lost")}),
        (6, {("hole", "enospc", "lost")}),
        (10, {("unwritten", "none", "lost")}),
        (15, {("reflinked", "none", "clone-changed")}),
    ],
)
def test_a_kernel_with_a_known_bug_fails(
    torture: Torture, mutants: str, mutant: int, expected: set[tuple[str, str, str]]
) -> None:
    run = torture("--fs", "xfs", "--kernel", mutants, "--kernel-arg", f"mutant={mutant}")
    found = {(finding["layout"], finding["fault"], finding["kind"]) for finding in run.document["findings"]}
    assert run.exit_code == 3
    assert expected <= found
    if mutant == 2:
        verdicts = {finding["control"] for finding in run.document["findings"]}
        assert verdicts == {"with the pin 1 of 1 failed, without it 0 of 1: too few to blame the pin"}
        assert run.outcomes(arm="control") == {("xfs", fault): {"pass"} for fault in ("none", "enospc", "power-cut")}


@pytest.mark.usefixtures("root")
def test_the_local_lab_fills_filesystems_on_this_kernel(torture: Torture) -> None:
    run = torture("--lab", "local", "--fs", "ext4", "--fs", "xfs", "--fs", "btrfs")
    outcomes = run.outcomes()
    for filesystem in ("ext4", "xfs", "btrfs"):
        assert outcomes[filesystem, "none"] == outcomes[filesystem, "enospc"] == {"pass"}
        assert outcomes[filesystem, "power-cut"] <= {"pass", "notrun"}
    reasons = {trial["reason"] for trial in run.document["trials"] if trial["outcome"] == "notrun"}
    assert reasons <= {"the kernel has no device-mapper"}
    assert run.exit_code == 0


WITHOUT_DEVICE_MAPPER = (
    *("enospc", "enospc-fragmented", "enospc-race", "enospc-metadata", "edquot-user", "edquot-project"),
    *("fsize-limit", "memlock-limit", "shutdown", "kill-workers", "oom-kill"),
)


@pytest.mark.usefixtures("root")
def test_faults_that_need_no_device_mapper_strike_in_the_local_lab(torture: Torture) -> None:
    names = [word for name in WITHOUT_DEVICE_MAPPER for word in ("--fault", name)]
    filesystems = ("--fs", "ext4", "--fs", "xfs", "--fs", "tmpfs")
    run = torture("--lab", "local", *filesystems, "--layout", "hole", "--no-control", *names)
    outcomes = run.outcomes()
    for name in WITHOUT_DEVICE_MAPPER[:4] + WITHOUT_DEVICE_MAPPER[6:-1]:
        assert outcomes["ext4", name] == outcomes["xfs", name] == {"pass"}, name
    for name in ("edquot-user", "edquot-project", "oom-kill"):
        assert outcomes["ext4", name] | outcomes["xfs", name] <= {"pass", "notrun"}, name
    trials = [trial for trial in run.document["trials"] if trial["arm"] != "canary"]
    reasons = {trial["reason"] for trial in trials if trial["outcome"] == "notrun"}
    known = ("the kernel was built without quotas", "the memory controller", "tmpfs has no", "tmpfs keeps no")
    assert all(reason.startswith(known) for reason in reasons), reasons
    assert run.exit_code == 0


def test_a_kernel_without_dm_flakey_gets_another_canary(torture: Torture) -> None:
    run = torture("--fs", "ext4", "--layout", "hole", "--fault", "none", "--kernel-arg", "module_blacklist=dm_flakey")
    assert run.outcomes(arm="canary") == {("ext4", "lying-disk"): {"notrun"}, ("ext4", "stale-disk"): {"pass"}}
    assert run.exit_code == 0


def test_a_limit_too_small_to_pin_is_notrun_with_the_number(torture: Torture) -> None:
    run = torture("--fs", "ext4", "--pin", "mlock", "--sync", "msync", "--no-control", "--memlock", "4096")
    reasons = {trial["reason"] for trial in run.document["trials"]}
    assert reasons == {"RLIMIT_MEMLOCK is too small for the pinned mapping: 32768 bytes needed, 4096 available"}
    assert run.exit_code == 4


@pytest.mark.parametrize(
    ("option", "words", "outcome", "reason"),
    [
        ("--mkfs-options", "-O ^has_journal", "pass", ""),
        ("--mount-options", "barrier=0", "notrun", "the sync promise is void: mounted with barrier=0"),
    ],
)
def test_what_options_take_away_is_not_judged(torture: Torture, option: str, words: str, outcome: str, reason: str) -> None:
    run = torture("--fs", "ext4", "--fault", "power-cut", "--no-control", option, words)
    trials = [trial for trial in run.document["trials"] if trial["arm"] != "canary"]
    assert {(trial["outcome"], trial["reason"].startswith(reason)) for trial in trials} == {(outcome, True)}

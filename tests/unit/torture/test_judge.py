"""A verdict is a pass only if everything that has to be there is; each thing missing has its own outcome."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.torture.stories import finding, leave, plan, ran
from torture.judge import judge
from torture.rig.record import LEDGER, Record
from verify import checker, ledger
from verify.breach import MIXED_SECTOR
from verify.ledger import LedgerWriter
from verify.outcome import Outcome
from verify.stamp import Look


def test_what_is_all_there_passes(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran())
    assert judge(plan(), tmp_path).outcome is Outcome.passed


def test_zeros_after_the_remount_fail(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran(), cold=Look.ZERO)
    verdict = judge(plan(), tmp_path)
    assert verdict.outcome is Outcome.failed
    assert {(finding.kind, finding.read, finding.pages) for finding in verdict.findings} == {("lost", "cold", 4)}


def test_zeros_before_the_unmount_fail_too(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran(), warm=Look.ZERO)
    assert judge(plan(), tmp_path).outcome is Outcome.failed


def test_a_fault_that_never_fired_is_unknown(tmp_path: Path) -> None:
    leave(tmp_path, plan("enospc"), record=ran(proofs=[("enospc", False, "probe write accepted")]))
    verdict = judge(plan("enospc"), tmp_path)
    assert verdict.outcome is Outcome.unknown and "never fired" in verdict.reason


def test_an_empty_ledger_is_unknown(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran(), stored=False)
    verdict = judge(plan(), tmp_path)
    assert verdict.outcome is Outcome.unknown and "nothing was stored" in verdict.reason


def test_a_pin_that_failed_is_unknown_but_a_refused_populate_is_not(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran(), pin_errno=errno.ENOMEM)
    verdict = judge(plan(), tmp_path)
    assert verdict.outcome is Outcome.unknown and "worker 1 ENOMEM" in verdict.reason
    (tmp_path / "ledger.jsonl").unlink()
    leave(tmp_path, plan(), record=ran(), pin_errno=errno.EFAULT)
    assert judge(plan(), tmp_path).outcome is Outcome.passed


def test_a_missing_record_is_unknown(tmp_path: Path) -> None:
    assert judge(plan(), tmp_path).outcome is Outcome.unknown


def test_a_failed_step_is_unknown_with_its_reason(tmp_path: Path) -> None:
    Record(state="unknown", reason="mkfs.ext4: exit code 1: no").write(tmp_path)
    assert judge(plan(), tmp_path) == judge(plan(), tmp_path)
    assert judge(plan(), tmp_path).reason == "mkfs.ext4: exit code 1: no"


def test_a_missing_requirement_is_notrun(tmp_path: Path) -> None:
    Record(state="notrun", reason="the kernel has no xfs").write(tmp_path)
    assert judge(plan(), tmp_path).outcome is Outcome.notrun


def test_a_checker_that_crashes_is_unknown(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran())
    (tmp_path / LEDGER).write_bytes(b"garbage\n" + (tmp_path / LEDGER).read_bytes())
    verdict = judge(plan(), tmp_path)
    assert verdict.outcome is Outcome.unknown and "checker crashed" in verdict.reason


def test_a_read_that_is_missing_is_unknown(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran())
    (tmp_path / "cold-1.jsonl").unlink()
    assert judge(plan(), tmp_path).outcome is Outcome.unknown


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"checked": [("e2fsck -f -n", False, "Inode 12 is bad")]}, "fsck"),
        ({"alarms": ["1.0 WARNING: CPU: 0 PID: 1 at fs/x.c"]}, "kernel"),
        ({"hung": "worker 1 did not return within 60 s\nstack"}, "hang"),
        ({"unmountable": "mount: EUCLEAN"}, "unreadable"),
    ],
)
def test_what_is_wrong_with_the_whole_filesystem_fails(tmp_path: Path, fields: dict[str, object], kind: str) -> None:
    leave(tmp_path, plan(), record=ran(**fields))
    verdict = judge(plan(), tmp_path)
    assert verdict.outcome is Outcome.failed
    assert kind in {finding.kind for finding in verdict.findings}


def test_a_canary_passes_only_if_every_planted_loss_is_found(tmp_path: Path) -> None:
    canary, proofs = plan("lying-disk"), [("lying-disk", True, "9 writes dropped")]
    found, missed = tmp_path / "found", tmp_path / "missed"
    for directory, cold in ((found, Look.ZERO), (missed, Look.OWN)):
        directory.mkdir()
        leave(directory, canary, record=ran(proofs=proofs), cold=cold)
    assert judge(canary, found).outcome is Outcome.passed
    verdict = judge(canary, missed)
    assert verdict.outcome is Outcome.unknown and "canary missed" in verdict.reason


@pytest.mark.parametrize(
    ("filesystem", "crash", "outcome"),
    [("ext2", True, Outcome.notrun), ("ext2", False, Outcome.failed), ("ext4", True, Outcome.failed)],
)
def test_without_a_journal_files_may_share_blocks_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filesystem: str, crash: bool, outcome: Outcome
) -> None:
    the_plan = replace(plan("power-cut"), filesystem=filesystem)
    leave(tmp_path, the_plan, record=ran())
    if crash:
        with LedgerWriter(tmp_path / LEDGER) as out:
            out.append(ledger.Struck("power-cut", crash=True))
    alien = [finding("misdirected"), finding("torn", found=MIXED_SECTOR)]
    monkeypatch.setattr(checker, "check", lambda *_: alien)
    assert judge(the_plan, tmp_path).outcome is outcome
    monkeypatch.setattr(checker, "check", lambda *_: [finding("misdirected"), finding("lost")])
    assert judge(the_plan, tmp_path).outcome is Outcome.failed

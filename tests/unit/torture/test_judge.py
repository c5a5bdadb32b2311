"""A verdict is a pass only if everything that has to be there is; each thing missing has its own outcome."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.torture.stories import finding, leave, plan, ran
from torture.crash.outcome import STATES, StateSeen
from torture.errors import BrokenTool
from torture.faults.canaries.planted import PLANTED, Planted
from torture.judge import Verdict, judge
from torture.plan import Plan
from torture.rig.record import LEDGER, RECORD, Record
from verify import checker, codec, ledger
from verify.breach import MIXED_SECTOR
from verify.finding import of_filesystem
from verify.ledger_file import LedgerWriter, read_ledger
from verify.observation import Size
from verify.outcome import Outcome
from verify.stamp import Look, Span


def test_what_is_all_there_passes(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran())
    assert judge(plan(), tmp_path).outcome is Outcome.passed


def test_zeros_after_the_remount_fail(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran(), cold=Look.ZERO)
    verdict = judge(plan(), tmp_path)
    assert verdict.outcome is Outcome.failed
    assert {(finding.kind, finding.read, finding.pages) for finding in verdict.findings} == {("lost", "cold", 4)}
    assert all("answered-success" in finding.circumstances for finding in verdict.findings), "it says who was told"


def test_a_crash_state_says_who_was_told_until_then(tmp_path: Path) -> None:
    leave(tmp_path, plan(), record=ran())
    records = len(list(read_ledger(tmp_path / LEDGER)))
    seen = StateSeen("the last", records, "", "", {1: (Size(4 * 4096), Span(0, 4, Look.ZERO, 0, 0))})
    (tmp_path / STATES).write_text(seen.to_json())
    (finding,) = judge(plan(), tmp_path).findings
    assert "power lost" in finding.found and "answered-success" in finding.circumstances


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
    assert verdict.outcome is Outcome.unknown and verdict.missed_canary
    assert not judge(canary, found).missed_canary


@pytest.mark.parametrize(("first_page", "missed"), [(0, False), (1, True)])
def test_planted_damage_must_be_found_where_it_is(tmp_path: Path, first_page: int, missed: bool) -> None:
    canary, proofs = plan("torn-write"), [("torn-write", True, "1 page damaged")]
    leave(tmp_path, canary, record=ran(proofs=proofs), cold=Look.ZERO)
    pages = range(first_page, 4)
    (tmp_path / PLANTED).write_text(codec.encode([Planted("lost", 1, page, 0xFF) for page in pages]))
    assert judge(canary, tmp_path).missed_canary is missed


def test_words_of_a_reason_decide_nothing(tmp_path: Path) -> None:
    Record(state="unknown", reason="canary missed the boat").write(tmp_path)
    assert not judge(plan("lying-disk"), tmp_path).missed_canary


@pytest.mark.parametrize(("fault", "cold"), [("none", Look.OWN), ("lying-disk", Look.ZERO)])
def test_a_verdict_takes_one_pass_over_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, cold: Look
) -> None:
    leave(tmp_path, plan(fault), record=ran(proofs=[(fault, True, "")]), cold=cold)
    (tmp_path / STATES).write_text(StateSeen("all of it", 3, "", "", {1: (Size(0),)}).to_json())
    opened: list[str] = []
    really_open = os.open

    def counting(path: Path, *rest: Any, **more: Any) -> Any:
        opened.append(Path(path).name)
        return really_open(path, *rest, **more)

    monkeypatch.setattr("os.open", counting)
    verdict = judge(plan(fault), tmp_path)
    monkeypatch.undo()
    assert "crashed" not in verdict.reason
    assert opened.count(LEDGER) == 1 and STATES in opened


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (RECORD, '{"version":7}', "version: 7 is unknown; allowed are 1"),
        (RECORD, '{"version":1}', "field 'state' is missing; the fields are state, reason, kernel"),
        (RECORD, "", "is not JSON"),
        (RECORD, b"\xff", "is not JSON"),
    ],
)
def test_a_record_that_is_none_is_an_error_of_the_tool(tmp_path: Path, name: str, text: str | bytes, said: str) -> None:
    leave(tmp_path, plan(), record=ran())
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BrokenTool) as caught:
        judge(plan(), tmp_path)
    assert said in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (STATES, '{"label":"x","position":"3"}\n', "field 'unmountable' is missing"),
        (PLANTED, '[{"kind":"torn","file":1,"page":0,"sectors":"all"}]', "[0].sectors: found 'all'"),
    ],
)
def test_what_was_damaged_in_the_store_is_unknown(tmp_path: Path, name: str, text: str, said: str) -> None:
    canary = plan("torn-write")
    leave(tmp_path, canary, record=ran(proofs=[("torn-write", True, "")]))
    (tmp_path / name).write_text(text)
    verdict = judge(canary, tmp_path)
    assert verdict.outcome is Outcome.unknown and said in verdict.reason and not verdict.missed_canary


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


def crashed(directory: Path, the_plan: Plan, found: str, **fields: Any) -> Verdict:
    """The verdict on a trial of a filesystem that was found mounted like this, and whose power went."""
    leave(directory, the_plan, record=ran(found=("mounted with rw", found), **fields))
    with LedgerWriter(directory / LEDGER) as out:
        out.append(ledger.Struck("power-cut", crash=True))
    return judge(the_plan, directory)


@pytest.mark.parametrize(
    ("filesystem", "found"),
    [
        ("ext4", "mounted with barrier=0"),
        ("ext4:1k", "mounted with barrier=0"),
        ("btrfs", "mounted with nobarrier"),
        ("f2fs", "mounted with nobarrier"),
        ("f2fs", "mounted with fsync_mode=nobarrier"),
        ("f2fs", "mounted with disable_roll_forward"),
        ("reiserfs", "mounted with barrier=none"),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"unmountable": "EUCLEAN"}, {"checked": [("fsck", False, "bad")]}])
def test_what_an_option_voids_is_not_judged_and_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filesystem: str, found: str, fields: dict[str, Any]
) -> None:
    the_plan = replace(plan("power-cut"), filesystem=filesystem)
    for findings in ([], [finding("lost", promise="sync")]):
        monkeypatch.setattr(checker, "check", lambda *_, f=findings: f)
        verdict = crashed(tmp_path, the_plan, found, **fields)
        assert verdict == Verdict(Outcome.notrun, f"the sync promise is void: {found}", ())
        (tmp_path / LEDGER).unlink()


def test_a_void_sync_promise_takes_away_no_other(tmp_path: Path) -> None:
    found = ("mounted with rw", "mounted with barrier=0")
    leave(tmp_path, plan(), record=ran(found=found))
    verdict = judge(plan(), tmp_path)
    assert verdict.outcome is Outcome.passed and verdict.reason == "the sync promise is void: mounted with barrier=0"
    (tmp_path / LEDGER).unlink()
    leave(tmp_path, plan(), record=ran(found=found), cold=Look.ZERO)
    assert judge(plan(), tmp_path).outcome is Outcome.failed


def test_what_was_wrong_before_the_crash_is_judged_whatever_was_void(tmp_path: Path) -> None:
    crash = plan("power-cut")
    leave(tmp_path, crash, record=ran(found=("mounted with barrier=0",)), warm=Look.ZERO)
    with LedgerWriter(tmp_path / LEDGER) as out:
        out.append(ledger.Struck("power-cut", crash=True))
    assert {each.read for each in judge(crash, tmp_path).findings} == {"warm"}


def test_ordered_data_is_promised_where_no_option_takes_it_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale, acked = finding("exposed", promise="store"), finding("exposed", promise="sync")
    for option, shown, outcome in (
        ("data=writeback", stale, Outcome.passed),
        ("data=writeback", acked, Outcome.failed),
        ("data=ordered", stale, Outcome.failed),
    ):
        monkeypatch.setattr(checker, "check", lambda *_, f=shown: [f])
        verdict = crashed(tmp_path, plan("power-cut"), f"mounted with {option}")
        assert verdict.outcome is outcome and ("order promise is void" in verdict.reason) is (option == "data=writeback")
        (tmp_path / LEDGER).unlink()


def test_a_journal_that_was_not_made_is_not_relied_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "check", lambda *_: [finding("misdirected")])
    verdict = crashed(tmp_path, plan("power-cut"), "running without a journal")
    assert verdict.outcome is Outcome.notrun and "keeps no journal" in verdict.reason


@pytest.mark.parametrize("stored", [True, False])
def test_what_the_set_up_saw_counts_whether_or_not_the_rest_can_be_judged(tmp_path: Path, stored: bool) -> None:
    seen = of_filesystem("overfull", "invented", expected="room for 64 bytes", found="65 bytes of ballast accepted")
    leave(tmp_path, plan(), record=ran(broken=[seen]), stored=stored)
    verdict = judge(plan(), tmp_path)
    assert (verdict.outcome, verdict.findings, verdict.reason) == (Outcome.failed, (seen,), "found overfull")
    (tmp_path / LEDGER).unlink()
    assert judge(plan(), tmp_path).findings == (seen,), "a trial that ended there leaves nothing else"

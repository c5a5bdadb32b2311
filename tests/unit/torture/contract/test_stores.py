"""The judge of steps on a mapping: what may be in a page after what was told of its stores."""

from __future__ import annotations

from typing import Any

import pytest

from torture.contract.actor import Told
from torture.contract.stores import Refusal, judge_stores
from torture.contract.verdict import Judgement, Verdict

STORE_1, STORE_2 = ["store", 1, {}], ["store", 2, {}]
REFUSED_2 = ["store", 2, {"0": "SIGBUS"}]
SYNCED, FAILED = ["msync", 0], ["msync", 28]


@pytest.mark.parametrize(
    ("events", "look", "verdict"),
    [
        ([STORE_1], "1", Verdict.holds),
        ([STORE_1], "zero", Verdict.broken),
        ([STORE_1], "missing", Verdict.broken),
        ([STORE_1], "foreign", Verdict.broken),
        ([STORE_1], "torn (1, zero)", Verdict.broken),
        ([STORE_1, STORE_2], "1", Verdict.broken),
        ([STORE_1, STORE_2], "2", Verdict.holds),
    ],
)
def test_without_a_crash_only_the_last_store_will_do(events: list[list[Any]], look: str, verdict: Verdict) -> None:
    assert _judged(events, look).verdict is verdict


@pytest.mark.parametrize(
    ("events", "look", "verdict"),
    [
        ([STORE_1], "zero", Verdict.holds),
        ([STORE_1], "1", Verdict.holds),
        ([STORE_1, SYNCED], "1", Verdict.holds),
        ([STORE_1, SYNCED], "zero", Verdict.broken),
        ([STORE_1, SYNCED, STORE_2], "1", Verdict.holds),
        ([STORE_1, SYNCED, STORE_2], "2", Verdict.holds),
        ([STORE_1, SYNCED, STORE_2], "zero", Verdict.broken),
        ([STORE_1, SYNCED, STORE_2, SYNCED], "1", Verdict.broken),
    ],
)
def test_after_a_crash_what_was_synced_is_there(events: list[list[Any]], look: str, verdict: Verdict) -> None:
    assert _judged(events, look, crash=True).verdict is verdict


def test_a_loss_that_the_sync_reported_is_late() -> None:
    judged = _judged([STORE_1, FAILED], "zero", refusal=Refusal.DUE)
    assert judged.verdict is Verdict.late
    assert judged.words == "1 stores accepted, msync ENOSPC, then 1 page zero after the remount"


def test_a_later_success_does_not_rescue_a_failed_sync() -> None:
    assert _judged([STORE_1, FAILED, SYNCED], "zero", refusal=Refusal.DUE).verdict is Verdict.late


def test_stale_content_is_never_excused_by_a_report() -> None:
    assert _judged([STORE_1, FAILED], "foreign", refusal=Refusal.DUE).verdict is Verdict.broken


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refusal_means_what_the_row_says(refusal: Refusal) -> None:
    assert _judged([STORE_1, REFUSED_2], "1", refusal=refusal).verdict.value == refusal.value


@pytest.mark.parametrize(
    ("look", "verdict"),
    [("1", Verdict.holds), ("2", Verdict.holds), ("torn (1, 2)", Verdict.holds), ("zero", Verdict.broken)],
)
def test_a_refused_store_may_have_reached_the_page(look: str, verdict: Verdict) -> None:
    assert _judged([STORE_1, REFUSED_2], look, refusal=Refusal.DUE).verdict is verdict


def test_a_failing_sync_on_a_healthy_disk_with_room_is_broken() -> None:
    assert _judged([STORE_1, FAILED], "1").verdict is Verdict.broken


def _judged(events: list[list[Any]], look: str, crash: bool = False, refusal: Refusal = Refusal.WRONG) -> Judgement:
    return judge_stores((look,), Told(events=events), base="zero", crash=crash, refusal=refusal)

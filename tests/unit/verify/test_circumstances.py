"""What the ledger says about a loss: the calls that covered the store, what they returned, and how it was made."""

from errno import EIO, ENOSPC
from pathlib import Path

import pytest

from tests.unit.verify.story import PAGE, Story
from verify import ledger
from verify.checker import check
from verify.circumstances import CIRCUMSTANCES, described
from verify.finding import Finding
from verify.observation import Observation, Size
from verify.oracle import expectations
from verify.stamp import Look, Span

ANSWERS = {"told", "told-elsewhere", "not-asked", "answered-success"}


def lost(story: Story, due: int, page: int = 2) -> Finding:
    """A finding on the page, whose content is due since this position, with what the ledger says."""
    finding = Finding("lost", "store", 1, "a", "hole", "", "", 1, page, 1, 255, "x", "zeros", None, "cold", due)
    (told,) = described([finding], story.records)
    assert len(ANSWERS & set(told.circumstances)) == 1
    return told


def begun(story: Story) -> int:
    """Where the next record will stand."""
    return len(story.records)


def calls(finding: Finding) -> list[str]:
    return [str(call) for call in finding.calls]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    story = Story(tmp_path)
    story.file()
    return story


@pytest.fixture
def stored(story: Story) -> tuple[Story, int]:
    position = begun(story)
    story.store(2, 1, 7)
    return story, position


def test_nobody_asked(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.sync(0, kind="sync")
    finding = lost(story, due)
    assert calls(finding) == ["sync 0"]
    assert {"not-asked", "only-whole", "no-data"} == set(finding.circumstances)


def test_the_first_answer_counts(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.sync(0, kind="fsync")
    story.sync(EIO)
    finding = lost(story, due)
    assert calls(finding) == ["fsync 0", "msync EIO"]
    assert "answered-success" in finding.circumstances


def test_an_error_of_an_earlier_store_told_nothing_of_a_later_one(story: Story) -> None:
    story.store(2, 1, 6)
    story.sync(EIO, kind="fsync")
    due = begun(story)
    story.store(2, 1, 7)
    story.sync(0, kind="fsync")
    finding = lost(story, due)
    assert calls(finding) == ["fsync 0"]
    assert {"answered-success", "after-an-error"} <= set(finding.circumstances)


def test_told(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.sync(ENOSPC)
    story.sync(0)
    assert "told" in lost(story, due).circumstances


def test_told_of_other_pages_through_the_same_descriptor(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.sync(ENOSPC, pages=(5, 1))
    story.sync(0, pages=(2, 1))
    finding = lost(story, due)
    assert calls(finding) == ["msync of other pages ENOSPC", "msync 0"]
    assert "told-elsewhere" in finding.circumstances


def test_another_descriptor_takes_no_error_away(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.sync(ENOSPC, pages=(5, 1), worker=2)
    story.sync(0, pages=(2, 1))
    assert "answered-success" in lost(story, due).circumstances


def test_a_notice_of_the_filesystem_is_a_call(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.records.append(ledger.FsError(EIO, 1))
    assert calls(lost(story, due)) == ["FAN_FS_ERROR EIO"]


def test_a_block_that_was_freed(story: Story) -> None:
    story.alter(ledger.Zeroed(1, 1, 0, 8 * PAGE))
    due = begun(story)
    story.store(2, 1, 7)
    assert {"freed", "no-data"} <= set(lost(story, due).circumstances)


def test_a_zeroing_that_failed_after_the_store(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.alter(ledger.Zeroed(1, 1, 2 * PAGE, PAGE), ENOSPC)
    finding = lost(story, due)
    assert "failed-zeroing" in finding.circumstances and "freed" not in finding.circumstances


@pytest.mark.parametrize(("synced", "holds"), [(False, True), (True, False)])
def test_the_file_grew_over_what_was_stored_past_its_end(story: Story, synced: bool, holds: bool) -> None:
    story.store(2, 1, 7)
    if synced:
        story.sync(0, kind="sync_file_range")
    due = begun(story)
    story.alter(ledger.Resize(1, 1, 8 * PAGE))
    assert ("extended-at-once" in lost(story, due).circumstances) is holds


def test_the_first_sync_since_a_checkpoint(story: Story) -> None:
    due = begun(story)
    story.store(2, 1, 7)
    story.sync(0, kind="fsync")
    later = begun(story)
    story.store(3, 1, 7)
    story.sync(0, kind="fsync")
    assert "first-sync" in lost(story, due).circumstances
    assert "first-sync" not in lost(story, later, page=3).circumstances


def test_every_circumstance_is_explained() -> None:
    assert all(meaning for _, meaning in CIRCUMSTANCES.values())


def test_reports_say_who_was_told_of_the_lost_store_itself(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.sync(0, kind="fsync")
    assert lost(story, due).told == "not reported; calls that cover it: fsync 0"
    for _ in range(7):
        story.sync(EIO)
    assert lost(story, due).told.endswith("fsync 0, msync EIO, msync EIO, msync EIO, msync EIO, msync EIO and 2 more")


def test_who_was_told_of_the_loss_of_what_was_there_before_the_first_store(stored: tuple[Story, int]) -> None:
    story, _ = stored
    story.sync(EIO)
    finding = Finding("lost", "isolation", 1, "a", "hole", "", "", 1, 2, 1, 255, "the base", "zeros", None, "cold", None)
    (told,) = described([finding], story.records)
    assert calls(told) == ["msync EIO"] and "told" in told.circumstances


def test_whether_a_later_store_to_the_page_was_vouched_for(stored: tuple[Story, int]) -> None:
    story, due = stored
    story.sync(0)
    assert "rewritten" not in lost(story, due).circumstances
    story.store(2, 1, 8)
    assert {"answered-success", "rewritten"} <= set(lost(story, due).circumstances), "nobody was asked"
    story.sync(EIO)
    assert {"answered-success", "rewritten"} <= set(lost(story, due).circumstances)
    story.store(2, 1, 9)
    story.sync(0)
    assert "rewritten" not in lost(story, due).circumstances


def test_a_first_sync_of_new_blocks_is_one_though_data_in_place_was_synced_before(stored: tuple[Story, int]) -> None:
    story, _ = stored
    story.sync(0, kind="syncfs")
    story.store(2, 1, 8)
    story.sync(0, kind="fsync")
    due = begun(story)
    story.store(3, 1, 1)
    story.sync(0, kind="fsync")
    assert "first-sync" in lost(story, due, page=3).circumstances
    due = begun(story)
    story.store(1, 1, 1)
    story.sync(0, kind="fsync")
    assert "first-sync" not in lost(story, due, page=1).circumstances


def test_a_size_that_is_lost_is_due_since_the_change_of_it(story: Story) -> None:
    due = begun(story)
    story.records += [ledger.Resize(1, 1, 9 * PAGE), ledger.Altered(1, 0)]
    story.sync(0, kind="fsync")
    seen: list[Observation] = [Size(PAGE), Span(0, 1, Look.ZERO, 0, 0)]
    found = check(expectations(story.records), {1: iter(seen)}, "cold")
    assert {finding.due for finding in found if finding.kind == "short"} == {due}

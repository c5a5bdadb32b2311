"""The checker finds every kind of planted fault, names it right, and passes healthy histories."""

import itertools
import tracemalloc
from collections.abc import Iterator
from errno import EIO, ENOENT, ENOSPC
from pathlib import Path

import pytest

from tests.unit.verify.story import PAGE, RUN, Story
from verify import checker, ledger, oracle, stamp
from verify.finding import Finding
from verify.ledger import BaseKind, Record
from verify.observation import Missing, Observation, ObservationError, Page, Size, Unreadable
from verify.outcome import Outcome, outcome_of
from verify.stamp import Look, Span

ALL = 0xFF


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Eight pages of a hole, all stored in generation 1 by a worker with mlock, and synced."""
    story = Story(tmp_path)
    story.file()
    story.worker()
    story.store(0, 8, 1)
    story.sync()
    return story


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def place(finding: Finding) -> tuple[str, str, int, int, int]:
    return finding.kind, finding.promise, finding.first_page, finding.pages, finding.sectors


def test_a_healthy_history_passes_warm_and_cold(story: Story) -> None:
    story.store(2, 3, 2)
    for read in ("warm", "cold"):
        assert story.check(story.pages(1, 1, 2, 2, 2, 1, 1, 1), read=read) == []


def test_zeros_instead_of_an_acked_store_are_lost(story: Story) -> None:
    finding = only(story.check(story.pages(1, 1, None, None, 1, 1, 1, 1)))
    assert place(finding) == ("lost", "sync", 2, 2, ALL)
    assert (finding.expected, finding.found, finding.reported) == ("generation 1", "zeros", None)
    assert (finding.pin, finding.access, finding.writer, finding.read) == ("mlock", "store", 1, "cold")
    assert (finding.file, finding.name, finding.layout) == (1, "file1", "hole")


def test_an_older_generation_breaks_the_store_promise_only(story: Story) -> None:
    story.store(4, 2, 2)
    finding = only(story.check(story.pages(1, 1, 1, 1, 2, 1, 1, 1)))
    assert place(finding) == ("lost", "store", 5, 1, ALL)
    assert (finding.expected, finding.found) == ("generation 2", "generation 1")


def test_a_loss_is_found_in_a_warm_read_too(story: Story) -> None:
    finding = only(story.check(story.pages(1, 1, None, 1, 1, 1, 1, 1), read="warm"))
    assert (finding.kind, finding.read) == ("lost", "warm")


def test_a_mix_of_generations_is_torn(story: Story) -> None:
    story.store(0, 8, 2)
    content = story.pages(*[2] * 8)
    content[3 * PAGE + 1024 : 3 * PAGE + 2048] = story.page(3, 1)[1024:2048]
    finding = only(story.check(content))
    assert place(finding) == ("torn", "store", 3, 1, 0b1100)
    assert (finding.expected, finding.found) == ("generation 2", "generation 1")


def test_a_page_of_zeros_and_older_ones_is_torn(story: Story) -> None:
    story.store(0, 8, 2)
    content = story.pages(*[2] * 8)
    content[3 * PAGE : 4 * PAGE] = bytes(1024) + story.page(3, 1)[1024:]
    assert {(f.kind, f.promise, f.sectors) for f in story.check(content)} == {
        ("torn", "sync", 0b11),
        ("torn", "store", 0b11111100),
    }


def test_a_mix_within_a_sector_is_torn(story: Story) -> None:
    story.store(0, 8, 2)
    content = story.pages(*[2] * 8)
    content[700:900] = story.page(0, 1)[700:900]
    finding = only(story.check(content))
    assert place(finding) == ("torn", "store", 0, 1, 0b10)


def test_another_pages_stamp_is_misdirected(story: Story) -> None:
    content = story.pages(*[1] * 8)
    content[2 * PAGE : 4 * PAGE] = story.page(5, 1) + story.page(6, 1)
    finding = only(story.check(content))
    assert place(finding) == ("misdirected", "sync", 2, 2, ALL)
    assert finding.found == "generation 1 of file 1, page +3, sector +0"


def test_another_files_stamp_is_misdirected(story: Story) -> None:
    content = story.pages(*[1] * 8)
    content[2 * PAGE : 2 * PAGE + 512] = story.page(2, 1, file=9)[:512]
    finding = only(story.check(content))
    assert place(finding) == ("misdirected", "sync", 2, 1, 1)


def test_another_files_base_is_misdirected(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.file(base="stamp")
    content = story.pages(*[0] * 8)
    content[:PAGE] = story.page(0, 0, file=2)
    finding = only(story.check(content))
    assert place(finding) == ("misdirected", "isolation", 0, 1, ALL)
    assert finding.found == "the base of the same page of file 2"


def test_another_sector_of_the_page_is_misdirected(story: Story) -> None:
    content = story.pages(*[1] * 8)
    content[512:1024] = story.page(0, 1)[:512]
    assert only(story.check(content)).found == "generation 1 of file 1, page +0, sector -1"


def test_foreign_stamps_are_exposed(story: Story) -> None:
    content = story.pages(*[1] * 8)
    content[6 * PAGE :] = story.foreign(1234) + story.foreign(7)
    finding = only(story.check(content))
    assert place(finding) == ("exposed", "sync", 6, 2, ALL)


def test_a_stamp_of_another_run_is_exposed(story: Story) -> None:
    content = story.pages(*[1] * 8)
    content[:PAGE] = stamp.page(run=RUN + 1, file=1, page=0, generation=1, writer=1)
    assert only(story.check(content)).kind == "exposed"


@pytest.mark.parametrize(("at", "found"), [(600, "a damaged stamp"), (512, "no stamp"), (1023, "a damaged stamp")])
def test_bit_rot_is_corrupt(story: Story, at: int, found: str) -> None:
    content = story.pages(*[1] * 8)
    content[4 * PAGE + at] ^= 0x10
    finding = only(story.check(content))
    assert place(finding) == ("corrupt", "sync", 4, 1, 0b10)
    assert finding.found == found


def test_a_generation_that_was_never_stored_is_corrupt(story: Story) -> None:
    assert only(story.check(story.pages(1, 1, 1, 1, 1, 1, 1, 9))).kind == "corrupt"
    content = story.pages(*[1] * 8)
    content[:PAGE] = story.page(0, 1, writer=2)
    assert only(story.check(content)).kind == "corrupt"


def test_a_base_stamp_in_a_hole_is_corrupt(story: Story) -> None:
    assert only(story.check(story.pages(0, 1, 1, 1, 1, 1, 1, 1))).found == "the base, which was never written there"


def test_pages_that_cannot_be_read_are_unreadable(story: Story) -> None:
    looks: list[Observation] = [
        Size(8 * PAGE),
        Span(0, 3, Look.OWN, 1, 1),
        Unreadable(3, 2, EIO),
        Span(5, 3, Look.OWN, 1, 1),
    ]
    finding = only(checker.check(story.expectations(), {1: looks}, "cold"))
    assert place(finding) == ("unreadable", "sync", 3, 2, ALL)
    assert finding.found == "read gives EIO"


def test_a_missing_file_is_unreadable(story: Story) -> None:
    finding = only(checker.check(story.expectations(), {1: [Missing(ENOENT)]}, "cold"))
    assert place(finding) == ("unreadable", "sync", 0, 8, 0)
    assert finding.found == "open gives ENOENT"


def test_a_file_that_is_too_small_is_short(story: Story) -> None:
    finding = only(story.check(story.pages(*[1] * 6)))
    assert place(finding) == ("short", "sync", 6, 2, 0)
    assert (finding.expected, finding.found) == (f"{8 * PAGE} bytes", f"{6 * PAGE} bytes")


def test_a_file_that_is_too_big_is_corrupt(story: Story) -> None:
    assert only(story.check(story.pages(*[1] * 8, None))).found == f"{9 * PAGE} bytes"


def test_a_loss_that_the_sync_reported_is_late(story: Story) -> None:
    story.store(2, 4, 2)
    story.sync(ENOSPC)
    finding = only(story.check(story.pages(1, 1, 2, 1, 1, 2, 1, 1)))
    assert place(finding) == ("late", "store", 3, 2, ALL)
    assert finding.reported == "msync ENOSPC"


def test_zeros_over_a_stamped_base_are_late_if_reported(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.file(base="stamp")
    story.store(0, 8, 1)
    story.sync(ENOSPC, kind="fsync")
    content = story.pages(1, 1, 0, None, 1, 1, 1, 1)
    content[4 * PAGE + 512 : 5 * PAGE] = bytes(PAGE - 512)
    findings = story.check(content)
    assert {(f.kind, f.first_page, f.found, f.reported) for f in findings} == {
        ("late", 2, "the base", "fsync ENOSPC"),
        ("late", 3, "zeros", "fsync ENOSPC"),
        ("late", 4, "zeros", "fsync ENOSPC"),
    }


def test_a_later_success_rescues_no_failed_store(story: Story) -> None:
    """The report excuses the loss, and the success after it promises nothing."""
    story.store(2, 1, 2)
    story.sync(EIO)
    story.sync()
    assert only(story.check(story.pages(*[1] * 8))).kind == "late"


def test_the_first_report_counts_whichever_pages_it_was_about(story: Story) -> None:
    """A failed sync of the page, a success, and a failed one of the file: the success promised nothing."""
    story.store(2, 1, 2)
    story.sync(ENOSPC, pages=(2, 1))
    story.sync()
    story.sync(EIO)
    finding = only(story.check(story.pages(*[1] * 8)))
    assert (finding.kind, finding.reported) == ("late", "msync ENOSPC")


def test_a_sync_that_began_earlier_may_end_later(story: Story) -> None:
    """Of two overlapping syncs the second is back first; that the first fails afterwards excuses nothing."""
    story.store(2, 1, 2)
    story.records += [
        ledger.Sync(1, "msync", (1,), 0, 0),
        ledger.Sync(2, "msync", (1,), 0, 0),
        ledger.Synced(2, 0),
        ledger.Sync(3, "msync", (1,), 0, 0),
        ledger.Synced(3, EIO),
        ledger.Synced(1, 0),
    ]
    assert place(only(story.check(story.pages(*[1] * 8)))) == ("lost", "sync", 2, 1, ALL)


def test_a_failed_sync_excuses_no_store_after_it(story: Story) -> None:
    story.store(2, 1, 2)
    story.sync(EIO)
    story.store(2, 1, 3)
    assert place(only(story.check(story.pages(*[1] * 8)))) == ("lost", "store", 2, 1, ALL)


def test_a_failed_sync_excuses_nothing_that_was_acked(story: Story) -> None:
    story.store(2, 1, 2)
    story.sync(EIO)
    content = story.pages(1, 1, None, 1, 1, 1, 1, 1)
    finding = only(story.check(content))
    assert place(finding) == ("lost", "sync", 2, 1, ALL)
    assert (finding.reported, finding.expected) == (None, "generation 1 to 2")


def test_a_failed_sync_of_other_pages_excuses_nothing(story: Story) -> None:
    story.store(2, 4, 2)
    story.sync(ENOSPC, pages=(4, 4))
    assert [(f.kind, f.first_page) for f in story.check(story.pages(*[1] * 8))] == [("lost", 2), ("late", 4)]


@pytest.mark.parametrize(("mapped", "found"), [(8, []), (4, [("lost", "sync")])])
def test_a_sync_after_one_that_failed_on_other_pages_of_the_mapping_proves_nothing(
    tmp_path: Path, mapped: int, found: list[tuple[str, str]]
) -> None:
    """The descriptor may have used up the error of these pages for those."""
    story = Story(tmp_path)
    story.file(base="stamp")
    story.worker(0, mapped)
    story.store(2, 4, 2)
    story.sync(EIO, pages=(2, 2))
    story.sync(pages=(4, 2))
    story.crash()
    assert [(f.kind, f.promise) for f in story.check(story.pages(*[0] * 8))] == found


@pytest.mark.parametrize("plant", ["foreign", "other page", "rot", "other run"])
def test_a_report_excuses_old_content_only(tmp_path: Path, plant: str) -> None:
    story = Story(tmp_path)
    story.file()
    story.store(0, 8, 1)
    story.sync(ENOSPC)
    content = story.pages(*[1] * 8)
    content[PAGE : 2 * PAGE] = {
        "foreign": story.foreign(3),
        "other page": story.page(2, 1),
        "rot": b"\1" + story.page(1, 1)[1:],
        "other run": stamp.page(run=1, file=1, page=1, generation=1, writer=1),
    }[plant]
    assert outcome_of(story.check(content)) == Outcome.failed


def test_a_faulted_store_leaves_the_old_the_new_or_a_mix(story: Story) -> None:
    story.store(0, 8, 2, faults=[2, 3, 4])
    content = story.pages(2, 2, 1, 2, 1, 2, 2, 2)
    content[4 * PAGE : 4 * PAGE + 700] = story.page(4, 2)[:700]
    assert story.check(content) == []
    assert only(story.check(story.pages(2, 2, 1, 2, None, 2, 2, 2))).promise == "sync"
    assert only(story.check(story.pages(2, 1, 1, 1, 1, 2, 2, 2))).first_page == 1


def test_a_store_that_never_returned_may_have_happened(story: Story) -> None:
    story.store(0, 4, 2, returns=False)
    assert story.check(story.pages(2, 1, 2, 1, 1, 1, 1, 1)) == []
    assert only(story.check(story.pages(2, 1, 2, 1, 2, 1, 1, 1))).kind == "corrupt"


def test_after_a_crash_anything_from_the_acked_on_is_legal_sector_by_sector(story: Story) -> None:
    story.store(0, 8, 2)
    story.store(0, 8, 3)
    story.crash()
    content = story.pages(1, 2, 3, 1, 1, 1, 1, 1)
    content[4 * PAGE :][:512] = story.page(4, 3)[:512]
    content[4 * PAGE + 512 : 4 * PAGE + 1024] = story.page(4, 2)[512:1024]
    assert story.check(content) == []
    finding = only(story.check(story.pages(1, 2, None, 1, 1, 1, 1, 1)))
    assert place(finding) == ("lost", "sync", 2, 1, ALL)
    assert finding.expected == "generation 1 to 3"


def test_a_crash_to_come_does_not_excuse_a_warm_read(story: Story) -> None:
    story.store(0, 8, 2)
    story.crash()
    assert story.check(story.pages(*[2] * 8), read="warm") == []
    assert only(story.check(story.pages(*[1] * 8), read="warm")).promise == "store"


def test_after_a_crash_zeros_are_legal_over_zeros_only(tmp_path: Path) -> None:
    cases: list[tuple[BaseKind, list[str]]] = [("zero", []), ("stamp", ["lost"])]
    for base, expected in cases:
        story = Story(tmp_path)
        story.file(base=base)
        story.store(0, 8, 1)
        story.crash()
        findings = story.check(story.pages(None, 1, 1, 1, 1, 1, 1, 1))
        assert [finding.kind for finding in findings] == expected


def test_a_torn_page_after_a_crash_mixes_legal_and_older(story: Story) -> None:
    story.store(0, 8, 2)
    story.sync()
    story.store(0, 8, 3)
    story.crash()
    content = story.pages(3, 2, 2, 2, 2, 2, 2, 2)
    content[512:1024] = story.page(0, 1)[512:1024]
    finding = only(story.check(content))
    assert place(finding) == ("torn", "sync", 0, 1, 0b10)


def test_a_sync_that_ends_after_the_swap_proves_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.file()
    story.store(0, 8, 1)
    story.swap()
    story.sync()
    story.crash()
    assert story.check(story.pages(*[None] * 8)) == []


def test_a_lying_disk_without_a_crash_is_found(tmp_path: Path) -> None:
    """The canary: writes dropped, syncs successful, nothing reported."""
    story = Story(tmp_path)
    story.file()
    story.store(0, 8, 1)
    story.swap()
    story.sync()
    assert place(only(story.check(story.pages(*[None] * 8)))) == ("lost", "store", 0, 8, ALL)


def test_pages_nobody_stored_to_keep_their_base(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.file(base="stamp")
    story.worker(0, 4)
    story.store(0, 2, 1)
    assert story.check(story.pages(1, 1, 0, 0, 0, 0, 0, 0)) == []
    findings = story.check(story.pages(1, 1, 0, None, 0, None, 0, 0))
    assert [(f.kind, f.promise, f.first_page, f.pin) for f in findings] == [
        ("lost", "isolation", 3, "mlock"),
        ("lost", "isolation", 5, ""),
    ]
    assert {f.writer for f in findings} == {None}
    assert only(story.check(story.pages(1, 1, 1, 0, 0, 0, 0, 0))).kind == "corrupt"


def test_a_bystander_must_not_change(story: Story) -> None:
    story.file(base="stamp", file=2, role="bystander")
    healthy = b"".join(story.page(page, 0, file=2) for page in range(8))
    content = story.pages(*[1] * 8)
    assert story.check(content, others={2: healthy}) == []
    finding = only(story.check(content, others={2: healthy[:PAGE] + bytes(PAGE) + healthy[2 * PAGE :]}))
    assert (finding.file, finding.kind, finding.promise) == (2, "lost", "isolation")


@pytest.fixture
def cloned(tmp_path: Path) -> Story:
    """A stamped file, its clone, and a store to the origin."""
    story = Story(tmp_path)
    story.file(base="stamp")
    story.file(base="stamp", file=2, role="clone", content_file=1)
    story.worker()
    story.store(0, 8, 1)
    story.sync()
    return story


def test_a_clone_keeps_the_content_of_its_origin(cloned: Story) -> None:
    assert cloned.check(cloned.pages(*[1] * 8), others={2: cloned.pages(*[0] * 8)}) == []


@pytest.mark.parametrize("wrong", [1, None])
def test_a_clone_that_shows_a_store_or_a_loss_is_changed(cloned: Story, wrong: int | None) -> None:
    finding = only(cloned.check(cloned.pages(*[1] * 8), others={2: cloned.pages(0, 0, wrong, wrong, 0, 0, 0, 0)}))
    assert (finding.file, *place(finding)) == (2, "clone-changed", "isolation", 2, 2, ALL)


def test_part_of_a_store_in_a_clone_is_a_change(cloned: Story) -> None:
    clone = cloned.pages(*[0] * 8)
    clone[1024:2048] = cloned.page(0, 1)[1024:2048]
    finding = only(cloned.check(cloned.pages(*[1] * 8), others={2: clone}))
    assert place(finding) == ("clone-changed", "isolation", 0, 1, 0b1100)


def test_foreign_stamps_in_a_clone_are_exposed(cloned: Story) -> None:
    clone = cloned.pages(*[0] * 7) + cloned.foreign(1)
    assert only(cloned.check(cloned.pages(*[1] * 8), others={2: clone})).kind == "exposed"


def test_a_clone_may_be_stored_to_under_its_own_name(cloned: Story) -> None:
    cloned.store(0, 1, 1, file=2)
    clone = cloned.pages(*[0] * 8)
    clone[:PAGE] = cloned.page(0, 1, file=2)
    assert cloned.check(cloned.pages(*[1] * 8), others={2: clone}) == []
    clone[:PAGE] = cloned.page(0, 0)
    assert place(only(cloned.check(cloned.pages(*[1] * 8), others={2: clone})))[:2] == ("lost", "store")


@pytest.mark.parametrize("bytes_", [(0, 512), (512, 1536), (100, 3000), (4000, 4096), (0, 8), (40, 41), (600, 601)])
def test_partial_stores_are_judged_byte_by_byte(story: Story, bytes_: tuple[int, int]) -> None:
    lo, hi = bytes_
    story.store(0, 8, 2, bytes_=bytes_)
    content = story.pages(*[1] * 8)
    for page in range(8):
        content[page * PAGE + lo : page * PAGE + hi] = story.page(page, 2)[lo:hi]
    assert story.check(content) == []
    content[PAGE : 2 * PAGE] = story.page(1, 1)
    differs = story.page(1, 1)[lo:hi] != story.page(1, 2)[lo:hi]
    assert [(f.kind, f.promise, f.first_page) for f in story.check(content)] == [("lost", "store", 1)] * differs
    content[PAGE : 2 * PAGE] = story.page(1, 2)
    assert story.check(content) != []


def test_bytes_beside_a_partial_store_must_not_change(story: Story) -> None:
    story.store(0, 1, 2, bytes_=(100, 3000))
    content = story.pages(*[1] * 8)
    content[100:3000] = story.page(0, 2)[100:3000]
    content[3001] ^= 1
    finding = only(story.check(content))
    assert (finding.kind, finding.promise, finding.sectors) == ("corrupt", "sync", 1 << 5)


def test_a_lost_partial_store_names_the_sectors_it_wrote(story: Story) -> None:
    story.store(0, 1, 2, bytes_=(512, 1536))
    finding = only(story.check(story.pages(*[1] * 8)))
    assert place(finding) == ("lost", "store", 0, 1, 0b110)


def test_half_a_partial_store_is_torn(story: Story) -> None:
    story.store(0, 1, 2, bytes_=(512, 1536))
    content = story.pages(*[1] * 8)
    content[512:1024] = story.page(0, 2)[512:1024]
    assert place(only(story.check(content))) == ("torn", "store", 0, 1, 0b100)


def test_half_a_store_of_less_than_a_sector_is_torn(story: Story) -> None:
    story.store(0, 1, 2, bytes_=(100, 400))
    content = story.pages(*[1] * 8)
    content[100:200] = story.page(0, 2)[100:200]
    finding = only(story.check(content))
    assert place(finding) == ("torn", "store", 0, 1, 1)
    assert finding.found == "a mix within a sector"


def test_a_mix_without_its_bytes_is_not_judged(story: Story) -> None:
    story.store(0, 1, 2, bytes_=(100, 3000))
    content = story.pages(*[1] * 8)
    content[100:3000] = story.page(0, 2)[100:3000]
    findings = story.check(content, raw_limit_pages=0)
    assert [(f.kind, f.sectors) for f in findings] == [("unjudged", 0b000001), ("unjudged", 0b100000)]
    assert outcome_of(findings) == Outcome.unknown


def test_bit_rot_is_found_without_its_bytes_where_one_content_is_legal(story: Story) -> None:
    content = story.pages(*[1] * 8)
    content[600] ^= 1
    assert place(only(story.check(content, raw_limit_pages=0))) == ("corrupt", "sync", 0, 1, 0b10)


@pytest.mark.parametrize("tail_bytes", [1, 511, 512, 1000, 4095])
def test_nothing_past_the_end_of_the_file_is_judged(tmp_path: Path, tail_bytes: int) -> None:
    story = Story(tmp_path)
    size_bytes = 2 * PAGE + tail_bytes
    story.file(3, size_bytes=size_bytes)
    story.store(0, 3, 1)
    story.sync()
    content = story.pages(1, 1, 1)[:size_bytes]
    assert story.check(content) == []
    content[-1] ^= 1
    last_sector = (tail_bytes - 1) // 512
    assert place(only(story.check(content))) == ("corrupt", "sync", 2, 1, 1 << last_sector)
    content[2 * PAGE :] = bytes(tail_bytes)
    finding = only(story.check(content))
    assert place(finding) == ("lost", "sync", 2, 1, (2 << last_sector) - 1)


def test_resizing_leaves_zeros_and_the_size(story: Story) -> None:
    story.alter(ledger.Resize(1, 1, 3 * PAGE + 100))
    assert story.check(story.pages(1, 1, 1, 1)[: 3 * PAGE + 100]) == []
    story.alter(ledger.Resize(1, 1, 6 * PAGE))
    grown = story.pages(1, 1, 1, 1, None, None)
    grown[3 * PAGE + 100 :] = bytes(3 * PAGE - 100)
    assert story.check(grown) == []
    assert only(story.check(story.pages(1, 1, 1, 1, None, None))).sectors == 0xFF
    assert only(story.check(grown[: 5 * PAGE])).kind == "short"


def test_sync_vouches_until_the_fault_strikes_since_it_cannot_report_one(tmp_path: Path) -> None:
    for struck_first in (False, True):
        story = Story(tmp_path)
        story.file()
        story.worker()
        story.store(0, 8, 1)
        if struck_first:
            story.crash()
        story.sync(kind="sync", files=())
        if not struck_first:
            story.crash()
        found = story.check(story.pages(*[None] * 8))
        assert [finding.promise for finding in found] == ([] if struck_first else ["sync"])


def test_an_alteration_that_failed_or_never_returned_may_have_happened_in_part(story: Story) -> None:
    story.alter(ledger.Zeroed(1, 1, PAGE, 2 * PAGE), ENOSPC)
    story.records.append(ledger.Resize(1, 1, 6 * PAGE))
    for generations in ([1] * 8, [1, None, 1, 1, 1, 1, 1, 1], [1, None, None, 1, 1, 1]):
        assert story.check(story.pages(*generations)) == []
    assert only(story.check(story.pages(1, None, None, None, 1, 1, 1, 1))).first_page == 3


def test_after_a_resize_that_failed_the_next_one_is_judged_from_either_size(story: Story) -> None:
    story.alter(ledger.Resize(1, 1, 4 * PAGE), ENOSPC)
    story.alter(ledger.Resize(1, 1, 8 * PAGE))
    assert story.check(story.pages(*[1] * 8)) == []
    assert story.check(story.pages(*[1] * 4, *[None] * 4)) == []


def test_after_a_resize_that_failed_the_size_is_anything_between(story: Story) -> None:
    story.alter(ledger.Resize(1, 1, 4 * PAGE))
    failed = ledger.Resize(1, 1, 8 * PAGE)
    found = story.pages(*[1] * 4, None, None)
    assert only(story.check(found)).kind == "corrupt"
    story.alter(failed, EIO)
    assert story.check(found) == []
    assert only(story.check(story.pages(*[1] * 3))).kind == "short"
    assert only(story.check(story.pages(*[1] * 4, *[None] * 5))).kind == "corrupt"


def test_a_store_over_a_page_boundary_is_judged_at_both_ends(story: Story) -> None:
    story.records += [ledger.Store(1, 1, 2, 2, 2, PAGE - 100, 100, True), ledger.Stored(1, ())]
    content = story.pages(*[1] * 8)
    second = story.pages(*[2] * 8)
    assert [finding.first_page for finding in story.check(content)] == [2, 3]
    content[3 * PAGE - 100 : 3 * PAGE + 100] = second[3 * PAGE - 100 : 3 * PAGE + 100]
    assert story.check(content) == []
    content[3 * PAGE + 100 : 3 * PAGE + 400] = second[3 * PAGE + 100 : 3 * PAGE + 400]
    assert only(story.check(content)).first_page == 3


def test_an_unsynced_resize_may_be_undone_by_a_crash(story: Story) -> None:
    story.alter(ledger.Resize(1, 1, 4 * PAGE))
    story.crash()
    assert story.check(story.pages(*[1] * 8)) == []
    assert story.check(story.pages(*[1] * 4)) == []
    assert only(story.check(story.pages(*[1] * 3))).kind == "short"
    story.records[-1:] = [ledger.Sync(1, "fsync", (1,), 0, 0), ledger.Synced(1, 0), story.records[-1]]
    assert [finding.kind for finding in story.check(story.pages(*[1] * 8))] == ["corrupt", "lost"]


def test_a_punched_hole_is_zeros_at_once_and_durable_after_a_sync(story: Story) -> None:
    story.alter(ledger.Zeroed(1, 1, PAGE + 512, 2 * PAGE))
    punched = story.pages(1, 1, None, 1, 1, 1, 1, 1)
    punched[PAGE + 512 : 3 * PAGE + 512] = bytes(2 * PAGE)
    assert story.check(punched) == []
    assert [f.first_page for f in story.check(story.pages(*[1] * 8))] == [1, 2, 3]
    story.crash()
    assert story.check(story.pages(*[1] * 8)) == []
    assert story.check(punched) == []
    story.records[-1:] = [ledger.Sync(1, "fsync", (1,), 0, 0), ledger.Synced(1, 0), story.records[-1]]
    assert [f.promise for f in story.check(story.pages(*[1] * 8))] == ["sync"] * 3
    assert story.check(punched) == []


def test_after_a_crash_findings_name_who_stored_last(story: Story) -> None:
    story.worker(0, 8, worker=2, pin="none")
    story.store(0, 8, 2, worker=2)
    story.crash()
    finding = only(story.check(story.pages(*[None] * 8)))
    assert (finding.expected, finding.writer, finding.pin) == ("generation 1 to 2", 2, "none")


def test_findings_name_the_worker_who_stored(story: Story) -> None:
    story.worker(4, 2, worker=2, pin="none")
    story.store(4, 2, 2, worker=2)
    finding = only(story.check(story.pages(*[1] * 8)))
    assert (finding.first_page, finding.pages, finding.pin, finding.writer) == (4, 2, "none", 2)


def test_observations_must_cover_the_file(story: Story) -> None:
    own = Span(0, 8, Look.OWN, 1, 1)
    incomplete: list[list[Observation]] = [
        [],
        [own],
        [Size(8 * PAGE)],
        [Size(8 * PAGE), Span(0, 7, Look.OWN, 1, 1)],
        [Size(8 * PAGE), Span(1, 7, Look.OWN, 1, 1)],
        [Size(8 * PAGE), own, Span(8, 1, Look.ZERO, 0, 0)],
        [Size(8 * PAGE), Span(0, 7, Look.OWN, 1, 1), Span(7, 1, Look.IRREGULAR, 0, 0)],
        [Size(8 * PAGE), own, Size(8 * PAGE)],
        [Size(8 * PAGE), Span(0, 4, Look.OWN, 1, 1), Span(3, 4, Look.OWN, 1, 1)],
    ]
    for looks in incomplete:
        with pytest.raises(ObservationError):
            checker.check(story.expectations(), {1: looks}, "cold")
    with pytest.raises(ObservationError, match="file1"):
        checker.check(story.expectations(), {}, "cold")


def test_a_shuffled_file_gives_up_in_time(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "MAX_FINDINGS_PER_FILE", 3)
    content = b"".join(story.page(page, 1) for page in (1, 0, 3, 2, 6, 7, 5, 4))
    findings = story.check(content)
    assert findings[-1].kind == "unjudged"
    assert len(findings) <= 4
    assert outcome_of(findings) == Outcome.failed


def peak_bytes(looks: Iterator[Observation]) -> int:
    """Peak memory of checking a stream of looks at a file that ought to be zeros."""
    size = next(looks)
    assert isinstance(size, Size)
    file = ledger.File(1, "file1", size.size_bytes, "hole", "target", 1, ())
    records: list[Record] = [ledger.Begin(ledger.LEDGER_VERSION, RUN, PAGE, ""), file]
    tracemalloc.start()
    try:
        checker.check(oracle.expectations(records), {1: itertools.chain([size], looks)}, "cold")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def damaged(pages: int) -> Iterator[Observation]:
    views = tuple(stamp.classify(b"x" * 512) for _ in range(8))
    yield Size(pages * PAGE)
    for page in range(pages):
        yield Page(page, views, b"")


def test_memory_does_not_grow_with_a_damaged_file() -> None:
    """A million pages would not either; each is read, judged, and forgotten."""
    peak_bytes(damaged(10))
    assert peak_bytes(damaged(3000)) < 1.1 * peak_bytes(damaged(300)) + 2000 < 200_000

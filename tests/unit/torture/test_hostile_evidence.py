"""What a stranger's ledger, observations and images can make the judge spend: bounded memory, bounded time, a sentence."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.fuzz.bounded import bounded
from torture.errors import BadRequest, MissingRequirement
from torture.image.image_ledger import load_ledger
from torture.judge import Verdict, judge
from torture.lab.disk import MOST_IMAGE_MIB, copy_image
from torture.plan import FaultSpec, FilePlan, Plan
from torture.rig.record import LEDGER, Record
from verify import ledger, observation
from verify.ledger import Base, Begin, File, Stored, Worker
from verify.observation import Observation, Size
from verify.outcome import Outcome
from verify.stamp import Look, Span
from workloads.plan import Op, WorkerPlan

MANY = 1_000_000_000
PAGE = 4096
BEGIN = Begin(ledger.LEDGER_VERSION, 1, PAGE, "")
SMALL = File(1, "a", 8 * PAGE, "hole", "target", 1, (Base(0, 8, "zero"),))
LARGE = File(1, "a", MANY * PAGE, "hole", "target", 1, (Base(0, MANY, "zero"),))
STORE, DONE = ledger.Store(1, 1, 0, MANY, 1, 0, PAGE), Stored(1, ())
CROSSING = ledger.Store(1, 1, 0, MANY, 1, 8, 16, True)
SHORT = ledger.Store(1, 1, 0, MANY, 1, 8, 16)


def plan(fault: str) -> Plan:
    worker = WorkerPlan(1, 1, "a", 0, 8, "mlock", "store", (Op("store", 0, 8),))
    return Plan(1, "ext4", (FilePlan(1, "a", "hole", 8),), (worker,), faults=(FaultSpec(fault, {}),))


def verdict(directory: Path, fault: str, records: Sequence[ledger.Record], cold: Sequence[Observation]) -> Verdict:
    """The verdict on what a trial is said to have left, in bounded memory and time."""
    (directory / LEDGER).write_bytes(b"".join(record.encode() for record in records))
    for read in ("cold", "warm"):
        observation.write_observations(directory / f"{read}-1.jsonl", cold)
    Record(state="ran", reason="", proofs=[(fault, True, "")]).write(directory)
    found = bounded(lambda: judge(plan(fault), directory))
    assert isinstance(found, Verdict), found
    return found


def zeros(pages: int) -> list[Observation]:
    return [Size(pages * PAGE), Span(0, pages, Look.ZERO, 0, 0)]


def test_a_store_of_a_billion_pages_takes_no_memory(tmp_path: Path) -> None:
    found = verdict(tmp_path, "lying-disk", [BEGIN, LARGE, STORE, DONE], zeros(MANY))
    assert (found.outcome, found.reason) == (Outcome.passed, f"canary found: {MANY} planted losses")


def test_nor_does_one_that_crosses_pages(tmp_path: Path) -> None:
    found = verdict(tmp_path, "none", [BEGIN, LARGE, CROSSING, DONE], zeros(MANY))
    assert found.outcome in (Outcome.failed, Outcome.unknown) and "crashed" not in found.reason


def test_a_span_of_a_billion_pages_that_bytes_would_tell_is_left_unjudged(tmp_path: Path) -> None:
    own: list[Observation] = [Size(MANY * PAGE), Span(0, MANY, Look.OWN, 7, 1)]
    found = verdict(tmp_path, "none", [BEGIN, LARGE, SHORT, DONE], own)
    assert found.outcome is Outcome.unknown and found.findings[0].kind == "unjudged"


def test_a_span_that_is_as_it_should_be_is_judged_however_long(tmp_path: Path) -> None:
    base = File(1, "a", MANY * PAGE, "written", "target", 1, (Base(0, MANY, "stamp"),))
    lost, unknown = ledger.Store(1, 1, 0, 1, 1, 8, 16), ledger.Store(2, 1, 1, MANY - 1, 1, 8, 16)
    own: list[Observation] = [Size(MANY * PAGE), Span(0, MANY, Look.OWN, 0, 0)]
    found = verdict(tmp_path, "none", [BEGIN, base, lost, DONE, unknown], own)
    assert found.outcome is Outcome.failed and {(each.first_page, each.pages) for each in found.findings} == {(0, 1)}


@pytest.mark.parametrize("store", [STORE, ledger.Store(1, 1, 8, 1, 1, 0, PAGE), ledger.Store(1, 1, 7, 2, 1, 0, PAGE)])
def test_a_store_outside_its_file_is_no_history(tmp_path: Path, store: ledger.Store) -> None:
    found = verdict(tmp_path, "none", [BEGIN, SMALL, store, DONE], zeros(8))
    assert found.outcome is Outcome.unknown and "a store outside its file" in found.reason


def test_a_store_past_the_end_of_the_file_is_the_workers_own_affair(tmp_path: Path) -> None:
    """A worker may map pages past the end: the kernel refuses its stores there."""
    past = ledger.Store(1, 1, 8, 2, 1, 0, PAGE)
    refused = Stored(1, tuple(ledger.RefusedPage(page, "SIGBUS", 2, 0) for page in (8, 9)))
    found = verdict(tmp_path, "none", [BEGIN, SMALL, Worker(1, 1, "mlock", "store", 0, 10), past, refused], zeros(8))
    assert (found.outcome, found.reason) == (Outcome.passed, "")


@pytest.mark.parametrize("page_bytes", [0, 1 << 20, (1 << 32) - 1])
def test_pages_have_a_size_that_pages_have(tmp_path: Path, page_bytes: int) -> None:
    begin = Begin(ledger.LEDGER_VERSION, 1, page_bytes, "")
    found = verdict(tmp_path, "none", [begin, SMALL, ledger.Store(1, 1, 0, 8, 1, 0, 1), DONE], zeros(8))
    assert found.outcome is Outcome.unknown and f"pages of {page_bytes} bytes" in found.reason


def test_a_page_shows_all_of_its_sectors(tmp_path: Path) -> None:
    cold: list[Observation] = [Size(PAGE), observation.Page(0, (), b"")]
    one = File(1, "a", PAGE, "hole", "target", 1, ())
    found = verdict(tmp_path, "none", [BEGIN, one, ledger.Store(1, 1, 0, 1, 1, 0, PAGE), DONE], cold)
    assert found.outcome is Outcome.unknown and "page 0 has 0 sectors" in found.reason


@pytest.mark.parametrize("name", ["/dev/zero", "fifo", "directory"])
def test_only_regular_files_are_evidence(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    place = tmp_path / name
    for read in (lambda: load_ledger(place), lambda: copy_image(place, tmp_path / "copy")):
        said = bounded(read)
        assert said.startswith("BadRequest: ") and (name == "directory" or "no regular file" in said), said
        (tmp_path / "copy").unlink(missing_ok=True)


def test_a_line_that_never_ends_is_no_record(tmp_path: Path) -> None:
    with open(tmp_path / "ledger", "wb") as sparse:
        sparse.truncate(1 << 40)
    assert "a line is longer than 32 MiB" in bounded(lambda: load_ledger(tmp_path / "ledger"))


@pytest.mark.parametrize("packed", [False, True])
def test_an_image_is_no_longer_than_the_disk_of_any_trial(tmp_path: Path, packed: bool) -> None:
    image = tmp_path / "image"
    if packed:
        with gzip.open(image, "wb", compresslevel=1) as out:
            for _ in range(MOST_IMAGE_MIB + 1):
                out.write(bytes(1 << 20))
    else:
        with open(image, "wb") as sparse:
            sparse.truncate((MOST_IMAGE_MIB << 20) + 1)
    with pytest.raises(BadRequest, match=r"is longer than 1024 MiB; give its first \d+ MiB"):
        copy_image(image, tmp_path / "copy")


def test_an_image_leaves_room_on_the_scratch_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "image").write_bytes(b"x" * (3 << 20))
    free = iter((100 << 20, 65 << 20, 64 << 20))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=next(free)))
    with pytest.raises(MissingRequirement, match="has no room for a copy"):
        copy_image(tmp_path / "image", tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 2 << 20

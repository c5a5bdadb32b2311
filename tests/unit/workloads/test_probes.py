"""Probes show what a worker has, and what they change is in the ledger."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from verify import checker, ledger, oracle
from verify.finding import Finding
from verify.ledger import Altered, Looked, Pinned, Record, Resize, Stored, Worker, Zeroed
from verify.ledger_file import LedgerWriter, read_ledger
from verify.reader import observe_file
from workloads import layouts, worker
from workloads.disturbances import DISTURBANCES
from workloads.plan import Op, WorkerPlan
from workloads.probes import PROBES

PAGE = mmap.PAGESIZE
PAGES, RUN, TIMEOUT_S = 4, 0xABCD, 20
UID, GID = (65534, 65534) if os.geteuid() == 0 else (os.getuid(), os.getgid())
After = Callable[[Path], None]


def run_workers(
    directory: Path,
    layout: str,
    *steps: tuple[Op, ...],
    pin: str = "mlock",
    after: After = lambda path: None,
    mount_point: Path | None = None,
) -> tuple[list[Record], list[Finding]]:
    """What one process recorded that is a worker for each of the steps, each with a file of its own in `directory`, and
    what the checker finds when `after` was called with every file."""
    made = [
        layouts.create(layout, directory, str(number), file=number, pages=PAGES, page_bytes=PAGE, run=RUN)[0]
        for number in range(1, len(steps) + 1)
    ]
    path = directory / "ledger"
    with LedgerWriter(path) as writer:
        writer.append(ledger.Begin(ledger.LEDGER_VERSION, RUN, PAGE, ""))
        for file in made:
            writer.append(file)
    plans = tuple(
        WorkerPlan(number, number, str(directory / str(number)), 0, PAGES, pin, "store", ops)
        for number, ops in enumerate(steps, 1)
    )
    task = worker.Task(
        tuple(plans), RUN, path, uid=UID, gid=GID, memlock_bytes=-1, page_bytes=PAGE, mount_point=mount_point
    )
    with worker.start(task) as process:
        report = process.wait_finished(TIMEOUT_S)
        assert report.state == "finished", report.error
        process.end()  # and its servant, which holds the mount
    records = list(read_ledger(path))
    look = partial(observe_file, run=RUN, page_bytes=PAGE)
    for file in made:
        after(directory / file.name)
    looks = {file.file: look(directory / file.name, content_file=file.file) for file in made}
    return records, list(checker.check(oracle.expectations(records), looks, "warm"))


def looks(records: list[Record]) -> list[Looked]:
    return [record for record in records if isinstance(record, Looked)]


def test_no_draw_takes_a_probe() -> None:
    assert not set(PROBES) & set(DISTURBANCES)


def test_a_look_shows_what_is_mapped_locked_and_dirty(directory: Path) -> None:
    records, found = run_workers(directory, "hole", (Op("look"), Op("store"), Op("look"), Op("look", 1, 1)))
    hole, stored, page = looks(records)
    size_kib = PAGES * PAGE >> 10
    assert (hole.nonzero_bytes, hole.dirty_kib, hole.resident_kib) == (0, 0, size_kib)
    assert hole.locked_kib == stored.locked_kib >= size_kib
    assert stored.dirty_kib == size_kib
    assert 0 < page.nonzero_bytes <= PAGE < stored.nonzero_bytes <= PAGES * PAGE
    assert found == []


def test_a_child_inherits_the_mapping_and_not_the_lock(directory: Path) -> None:
    records, _ = run_workers(directory, "written", (Op("look-in-child"), Op("look")))
    child, own = looks(records)
    assert child.locked_kib == 0 < own.locked_kib
    assert child.nonzero_bytes == own.nonzero_bytes > 0


@pytest.mark.root
def test_an_aged_file_shows_by_its_mtime_whether_it_was_stored_to(scratch: Callable[[list[str], int], Path]) -> None:
    ops = (Op("age"), Op("look"), Op("store"), Op("sync", name="fsync"), Op("look"))
    mount_point = scratch(["mkfs.ext4", "-q", "-b", "4096"], 32)
    directory = mount_point / "files"
    directory.mkdir()
    records, found = run_workers(directory, "written", ops, mount_point=mount_point)
    before, after = looks(records)
    assert before.mtime_ns == 0 < after.mtime_ns
    assert len([record for record in records if isinstance(record, Pinned)]) == 2
    assert found == []


@pytest.mark.root
def test_no_other_file_is_aged(directory: Path) -> None:
    """The servant, who is root, took any path."""
    with pytest.raises(AssertionError, match="is not on the filesystem under test"):
        run_workers(directory, "written", (Op("age"),))
    assert (directory / "1").stat().st_mtime_ns > 0


def test_nothing_can_be_stored_to_an_emptied_file(directory: Path) -> None:
    records, found = run_workers(directory, "hole", (Op("empty"), Op("store"), Op("grow"), Op("look"), Op("store")))
    refused, accepted = (len(record.refused) for record in records if isinstance(record, Stored))
    assert (refused, accepted) == (PAGES, 0)
    assert [record.size_bytes for record in records if isinstance(record, Resize)] == [0, PAGES * PAGE]
    assert looks(records)[0].nonzero_bytes == 0
    assert found == []


def test_what_is_scribbled_past_the_end_is_void(directory: Path) -> None:
    ops = (Op("scribble"), Op("sync", name="msync"), Op("grow"))
    records, found = run_workers(directory, "straddling", ops)
    (zeroed,) = (record for record in records if isinstance(record, Zeroed))
    assert 0 < zeroed.length_bytes < PAGE
    assert zeroed.first_byte + zeroed.length_bytes == PAGES * PAGE
    assert records[records.index(zeroed) + 1] == Altered(1, 0)
    assert found == []


def test_a_scribble_that_shows_is_found(directory: Path) -> None:
    """Planted: the bytes that the mapping was given, where a kernel that keeps them would show them."""

    def keep(path: Path) -> None:
        with open(path, "r+b") as file:
            file.seek(-100, os.SEEK_END)
            file.write(b"\xee" * 100)

    ops = (Op("scribble"), Op("sync", name="msync"), Op("grow"))
    _, found = run_workers(directory, "straddling", ops, after=keep)
    assert [(finding.kind, finding.first_page) for finding in found] == [("corrupt", PAGES - 1)]


def test_workers_of_one_process_take_turns_and_keep_what_they_have(directory: Path) -> None:
    records, found = run_workers(directory, "hole", (Op("store"), Op("look")), (Op("store"), Op("look")))
    own = [record.worker for record in records if isinstance(record, Worker | Stored | Looked)]
    assert own == [1, 1, 1, 2, 2, 2]
    first, second = looks(records)
    assert second.locked_kib == 2 * first.locked_kib
    assert found == []

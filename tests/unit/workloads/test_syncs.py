"""Syncs record what they cover, do the system call they are named for, and return its errno."""

import errno
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from verify.ledger import Sync as SyncRecord
from workloads import libc
from workloads.mapped_file import MappedFile
from workloads.syncs import SYNCS, Scope

PAGE = mmap.PAGESIZE


@pytest.fixture
def place(new_file: Callable[[int], Path], opened: Callable[..., MappedFile]) -> MappedFile:
    mapped = opened(new_file(16), 8, first_page=4)
    mapped.map()
    return mapped


def test_msync_covers_the_pages_asked_for(place: MappedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    monkeypatch.setattr(libc, "msync", lambda *arguments: calls.append(arguments))
    assert SYNCS["msync"].record(9, place, 6, 2) == SyncRecord(9, "msync", (1,), 6, 2)
    assert SYNCS["msync"].perform(place, 6, 2) == 0
    assert calls == [(place.address + 2 * PAGE, 2 * PAGE, 4)]


def test_fsync_covers_the_file(place: MappedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    assert SYNCS["fsync"].record(9, place, 6, 2) == SyncRecord(9, "fsync", (1,), 0, 0)
    assert SYNCS["fsync"].perform(place, 6, 2) == 0
    assert calls == [place.descriptor]


@pytest.mark.parametrize(
    ("name", "kind", "files", "pages"),
    [
        ("msync-pages", "msync", (1,), (6, 2)),
        ("async-fsync", "async_fsync", (1,), (0, 0)),
        ("fsync-other", "fsync", (1,), (0, 0)),
        ("fdatasync", "fdatasync", (1,), (0, 0)),
        ("syncfs", "syncfs", (), (0, 0)),
        ("sync", "sync", (), (0, 0)),
        ("sync-file-range", "sync_file_range", (1,), (6, 2)),
    ],
)
def test_says_what_it_covers(
    place: MappedFile, name: str, kind: str, files: tuple[int, ...], pages: tuple[int, int]
) -> None:
    assert SYNCS[name].record(9, place, 6, 2) == SyncRecord(9, kind, files, *pages)
    assert SYNCS[name].perform(place, 6, 2) == 0


def test_fsync_other_goes_through_the_other_descriptor(place: MappedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    SYNCS["fsync-other"].perform(place, 6, 2)
    assert calls == [place.other_descriptor] != [place.descriptor]


def test_nothing_does_nothing(place: MappedFile) -> None:
    assert SYNCS["nothing"].scope is Scope.NOTHING
    assert SYNCS["nothing"].perform(place, 4, 8) == 0


def test_returns_the_errno(place: MappedFile) -> None:
    libc.munmap(place.address, place.length_bytes)
    assert SYNCS["msync"].perform(place, 4, 8) == errno.ENOMEM
    place.address = 0


@pytest.mark.root
@pytest.mark.parametrize("sync", sorted(set(SYNCS) - {"nothing"}))
def test_leaves_no_page_dirty(
    sync: str, scratch: Callable[[list[str], int], Path], cached: Callable[[MappedFile], libc.CacheStat]
) -> None:
    path = scratch(["mkfs.ext4", "-q", "-b", "4096"], 32) / "f"
    path.write_bytes(bytes(8 * PAGE))
    with MappedFile(path, file=1, first_page=0, pages=8, page_bytes=PAGE) as mapped:
        mapped.map()
        assert SYNCS[sync].perform(mapped, 0, 8) == 0
        mapped.view[:] = b"x" * 8 * PAGE
        assert cached(mapped).nr_dirty == 8
        assert SYNCS[sync].perform(mapped, 0, 8) == 0
        assert cached(mapped).nr_dirty == 0

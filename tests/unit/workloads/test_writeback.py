"""Background writeback happens, is over on return, and leaves its error to the worker's own descriptor."""

import errno
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from verify import descriptors
from workloads import libc, writeback
from workloads.mapped_file import MappedFile
from workloads.writeback import write_back

PAGE = mmap.PAGESIZE
PAGES = 64
WRITE_FAILED = (errno.EIO, errno.ENOSPC)  # ENOSPC of the tmpfs reaches the filesystem as one or the other
EXT4 = ["mkfs.ext4", "-q", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0", "-O", "^has_journal"]
Scratch = Callable[[list[str], int], Path]


def refuse(descriptor: int) -> libc.CacheStat:
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.fixture(params=["cachestat", "FIEMAP", "O_DIRECT"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """All ways of waiting, those of kernels before 6.5, and of filesystems without FIEMAP, by having the others refused."""
    if request.param == "cachestat":
        request.getfixturevalue("cached")
    else:
        monkeypatch.setattr(writeback, "wait_by_cachestat", refuse)
    if request.param == "O_DIRECT":
        monkeypatch.setattr(writeback, "write_and_wait", refuse)
    return str(request.param)


@pytest.fixture
def clean(scratch: Scratch) -> Iterator[MappedFile]:
    """A mapped hole on ext4, on a disk that has no room for it yet: a sparse image on a tmpfs."""
    path = scratch(EXT4, 64) / "f"
    path.touch()
    os.truncate(path, PAGES * PAGE)
    os.sync()
    with MappedFile(path, file=1, first_page=0, pages=PAGES, page_bytes=PAGE) as place:
        place.map()
        yield place


@pytest.fixture
def dirty(clean: MappedFile, request: pytest.FixtureRequest) -> MappedFile:
    """All pages of it dirty. If the disk is to be broken it is by then: somebody else's sync(2) may come at any time."""
    if "broken_disk" in request.fixturenames:
        request.getfixturevalue("broken_disk")
    clean.view[:] = b"x" * PAGES * PAGE
    return clean


@pytest.fixture
def broken_disk(clean: MappedFile, fill: Callable[[Path], None]) -> Iterator[None]:
    """Leaves no room in the tmpfs for what the filesystem has not written yet."""
    ballast = clean.path.parent.parent / "ballast"
    fill(ballast)
    yield
    ballast.unlink()


@pytest.mark.root
def test_is_over_on_return(way: str, dirty: MappedFile, cached: Callable[[MappedFile], libc.CacheStat]) -> None:
    write_back(dirty)
    left = cached(dirty)
    assert (left.nr_cache, left.nr_dirty, left.nr_writeback) == (PAGES, 0, 0)


@pytest.mark.root
@pytest.mark.usefixtures("way", "broken_disk")
def test_its_error_is_still_the_workers_to_hear(dirty: MappedFile) -> None:
    write_back(dirty)
    syncs = [libc.errno_of(lambda: libc.msync(dirty.address, dirty.length_bytes, libc.MS_SYNC)) for _ in range(2)]
    assert syncs[0] in WRITE_FAILED
    assert syncs[1] == 0


@pytest.mark.root
@pytest.mark.usefixtures("way", "broken_disk")
def test_waiting_leaves_the_error_unseen(dirty: MappedFile) -> None:
    """A descriptor opened after background writeback still hears of the error, as after the flusher's own."""
    write_back(dirty)
    with descriptors.opened(dirty.path) as late:
        assert libc.errno_of(lambda: os.fsync(late)) in WRITE_FAILED


@pytest.mark.root
@pytest.mark.usefixtures("broken_disk")
def test_the_workers_own_descriptor_must_not_wait(dirty: MappedFile) -> None:
    """Why it is done as it is: a WAIT flag on the worker's descriptor takes the error from its sync."""
    flags = libc.SYNC_FILE_RANGE_WRITE | libc.SYNC_FILE_RANGE_WAIT_AFTER
    assert libc.errno_of(lambda: libc.sync_file_range(dirty.descriptor, 0, 0, flags)) in WRITE_FAILED
    assert libc.errno_of(lambda: os.fsync(dirty.descriptor)) == 0


def test_every_failing_page_gets_its_attempt(
    new_file: Callable[[int], Path], opened: Callable[..., MappedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """WB_SYNC_NONE stops at the first page that fails, so it takes one call more than there are such pages."""
    place = opened(new_file(PAGES), PAGES)
    failing = 5
    calls = []

    def submit(descriptor: int, *_: int) -> None:
        calls.append(descriptor)
        if len(calls) <= failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(libc, "sync_file_range", submit)
    monkeypatch.setattr(writeback, "_wait", lambda mapped: None)
    write_back(place)
    assert len(calls) == failing + 2


def test_waits_after_each_pass_until_nothing_is_under_writeback(
    new_file: Callable[[int], Path], opened: Callable[..., MappedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = opened(new_file(PAGES), PAGES)
    under_writeback = [2, 1, 0, 1, 0]
    steps: list[str] = []

    def count(descriptor: int) -> libc.CacheStat:
        assert descriptor == place.descriptor
        steps.append("poll")
        return libc.CacheStat(nr_dirty=1, nr_writeback=under_writeback.pop(0))

    monkeypatch.setattr(libc, "cachestat", count)
    monkeypatch.setattr(libc, "sync_file_range", lambda *_: steps.append("write"))
    write_back(place)
    assert steps == ["write", "poll", "poll", "poll", "write", "poll", "poll"]


def test_pages_that_stay_dirty_do_not_hold_it_up(
    new_file: Callable[[int], Path], opened: Callable[..., MappedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """f2fs puts a page that failed back among the dirty ones, for ever."""

    def fail(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(libc, "sync_file_range", fail)
    write_back(opened(new_file(3), 3))

"""The reader: what it says about files that are healthy, damaged, refused, cut short, or huge."""

import errno
import os
import tracemalloc
from pathlib import Path

import pytest

from verify import reader, stamp
from verify.observation import (
    Missing,
    Observation,
    ObservationError,
    Page,
    Size,
    Unreadable,
    read_observations,
    write_observations,
)
from verify.stamp import Look, SectorLook, Span

RUN = 77
PAGE = 4096


def stamped(pages: int, *, first_page: int = 0, generation: int = 1) -> bytearray:
    content = bytearray(pages * PAGE)
    stamp.fill(content, run=RUN, file=1, first_page=first_page, generation=generation, writer=2)
    return content


def observe(
    path: Path, *, raw_limit_pages: int = 4096, direct: bool = False, beneath: Path | None = None
) -> list[Observation]:
    looks = reader.observe_file(
        path, run=RUN, content_file=1, page_bytes=PAGE, raw_limit_pages=raw_limit_pages, direct=direct, beneath=beneath
    )
    return list(looks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_likes_are_merged_across_chunks(path: Path) -> None:
    with path.open("wb") as file:
        file.write(stamped(600))
        file.truncate(1000 * PAGE)
    assert observe(path) == [
        Size(1000 * PAGE),
        Span(0, 600, Look.OWN, 1, 2),
        Span(600, 400, Look.ZERO, 0, 0),
    ]


def test_an_empty_file_has_a_size_only(path: Path) -> None:
    path.touch()
    assert observe(path) == [Size(0)]


def test_irregular_pages_come_sector_by_sector_with_their_bytes(path: Path) -> None:
    content = stamped(3)
    content[PAGE + 600] ^= 1
    path.write_bytes(content)
    _, before, page, after = observe(path)
    assert (before, after) == (Span(0, 1, Look.OWN, 1, 2), Span(2, 1, Look.OWN, 1, 2))
    assert isinstance(page, Page)
    assert page.page == 1
    assert page.raw == content[PAGE : 2 * PAGE]
    assert [view.look for view in page.sectors[:3]] == [
        SectorLook.STAMP,
        SectorLook.BAD_CHECKSUM,
        SectorLook.STAMP,
    ]


def test_raw_bytes_are_kept_up_to_the_limit(path: Path) -> None:
    path.write_bytes(b"x" * (5 * PAGE))
    pages = [look for look in observe(path, raw_limit_pages=2) if isinstance(look, Page)]
    assert [len(page.raw) for page in pages] == [PAGE, PAGE, 0, 0, 0]
    assert all(len(page.sectors) == 8 for page in pages)


@pytest.mark.parametrize("tail_bytes", [1, 512, 1000, 4095])
def test_a_last_partial_page_is_padded_with_zeros(path: Path, tail_bytes: int) -> None:
    """A whole irregular chunk comes first, so that padding with leftovers of the buffer would show."""
    content = b"x" * (256 * PAGE) + stamped(1, first_page=256)[:tail_bytes]
    path.write_bytes(content)
    size, *_, last = observe(path)
    assert size == Size(len(content))
    assert isinstance(last, Page)
    assert last.raw == content[256 * PAGE :].ljust(PAGE, b"\0")


def test_a_file_that_cannot_be_opened_is_missing(path: Path) -> None:
    assert observe(path) == [Missing(errno.ENOENT)]


class Disk:
    """os.preadv with bad pages and an early end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bad: dict[int, int], end_bytes: int = 2**62) -> None:
        self.bad, self.end_bytes, self.real = bad, end_bytes, os.preadv
        monkeypatch.setattr(os, "preadv", self.preadv)

    def preadv(self, descriptor: int, buffers: list[memoryview], offset: int) -> int:
        wanted = min(len(buffers[0]), self.end_bytes - offset)
        if wanted <= 0:
            return 0
        for page in range(offset // PAGE, -(-(offset + wanted) // PAGE)):
            if page in self.bad:
                wanted = page * PAGE - offset
                break
        if wanted <= 0:
            raise OSError(self.bad[offset // PAGE], "planted")
        return self.real(descriptor, [buffers[0][:wanted]], offset)


def test_errors_are_narrowed_to_the_page(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(stamped(300))
    Disk(monkeypatch, {7: errno.EIO, 8: errno.EIO, 290: errno.EUCLEAN})
    assert observe(path) == [
        Size(300 * PAGE),
        Span(0, 7, Look.OWN, 1, 2),
        Unreadable(7, 2, errno.EIO),
        Span(9, 281, Look.OWN, 1, 2),
        Unreadable(290, 1, errno.EUCLEAN),
        Span(291, 9, Look.OWN, 1, 2),
    ]


def test_a_read_that_ends_before_the_size_is_unreadable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(stamped(300))
    Disk(monkeypatch, {}, end_bytes=257 * PAGE)
    assert observe(path) == [Size(300 * PAGE), Span(0, 257, Look.OWN, 1, 2), Unreadable(257, 43, 0)]


def test_short_reads_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(stamped(10))
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset: real(fd, [buffers[0][:1000]], offset))
    assert observe(path) == [Size(10 * PAGE), Span(0, 10, Look.OWN, 1, 2)]


def test_a_wrong_request_is_no_observation(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(stamped(1))
    Disk(monkeypatch, {0: errno.EINVAL})
    with pytest.raises(OSError, match="planted"):
        observe(path)


def test_direct_reads_show_the_same(path: Path) -> None:
    path.write_bytes(stamped(300)[:-100])
    try:
        direct = observe(path, direct=True)
    except OSError as error:
        assert error.errno == errno.EINVAL
        pytest.skip("no O_DIRECT on this filesystem")
    assert direct == observe(path)


def test_observations_survive_storage(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = stamped(20)
    content[5 * PAGE] ^= 1
    path.write_bytes(content)
    Disk(monkeypatch, {9: errno.EIO})
    looks = [*observe(path), Missing(2)]
    write_observations(tmp_path / "looks", looks)
    assert list(read_observations(tmp_path / "looks")) == looks


@pytest.mark.parametrize("line", [b"", b"[]\n", b'["size"]\n', b'["size","1"]\n', b'["page",0,[],"*"]\n', b'["huh"]\n'])
def test_damaged_storage_is_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "looks").write_bytes(b'["size",1]\n' + (line or b'["size",1'))
    with pytest.raises(ObservationError, match="line 2"):
        list(read_observations(tmp_path / "looks"))


def peak_bytes(path: Path, size_bytes: int) -> int:
    with path.open("wb") as file:
        file.truncate(size_bytes)
    tracemalloc.start()
    try:
        looks = observe(path)
        assert looks == [Size(size_bytes), Span(0, size_bytes // PAGE, Look.ZERO, 0, 0)]
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffer is an anonymous mapping of 1 MiB; the rest must stay below another. Reads cost nothing here."""
    monkeypatch.setattr(os, "preadv", lambda descriptor, buffers, offset: len(buffers[0]))
    peak_bytes(path, 1 << 20)
    assert peak_bytes(path, 20 << 30) < 1.1 * peak_bytes(path, 200 << 20) + 10_000 < 1 << 20


def test_a_link_a_fifo_and_a_directory_are_not_read(path: Path) -> None:
    """Of a stranger's image, root would have shown files of the machine, or waited for ever."""
    path.symlink_to("/etc/passwd")
    assert observe(path) == [Missing(errno.ELOOP)]
    path.unlink()
    os.mkfifo(path)
    assert observe(path) == [Missing(errno.ENXIO)]
    path.unlink()
    path.mkdir()
    assert observe(path) == [Missing(errno.EISDIR)]


def test_beneath_a_directory_no_part_of_a_path_leads_out_of_it(tmp_path: Path) -> None:
    outside, image = tmp_path / "outside", tmp_path / "image"
    (image / "files/snapshot").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_bytes(stamped(1))
    (image / "files/snapshot/file").write_bytes(stamped(2))
    (image / "files/link").symlink_to(outside)
    assert observe(Path("files/snapshot/file"), beneath=image)[0] == Size(2 * PAGE)
    assert observe(Path("files/link/file"), beneath=image) == [Missing(errno.ENOTDIR)]
    for leading_out in (Path("../outside/file"), Path("files/../../outside/file"), outside / "file"):
        assert observe(leading_out, beneath=image) == [Missing(errno.EXDEV)]

"""Layouts put under the pages what they say, and say in their records what is in them."""

import errno
import fcntl
import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from verify import stamp
from verify.descriptors import opened
from verify.ledger import Base, File
from verify.observation import Missing
from verify.reader import observe_file
from workloads import layouts, libc
from workloads.layouts import CLONE_ID_OFFSET, LAYOUTS
from workloads.unsupported import Unsupported

PAGE = mmap.PAGESIZE
RUN = 77
FS_IOC_FIEMAP = 0xC020660B
EXTENT_LAST, EXTENT_UNWRITTEN, EXTENT_SHARED = 0x1, 0x800, 0x2000


def create(layout: str, directory: Path, pages: int = 300) -> tuple[File, ...]:
    return layouts.create(layout, directory, "f", file=3, pages=pages, page_bytes=PAGE, run=RUN)


def extent_flags(path: Path) -> list[int]:
    """The flags of the file's extents, without LAST (FS_IOC_FIEMAP, include/uapi/linux/fiemap.h)."""
    request = bytearray(struct.pack("=QQIIII", 0, 2**64 - 1, 0, 0, 16, 0) + bytes(16 * 56))
    with opened(path) as descriptor:
        fcntl.ioctl(descriptor, FS_IOC_FIEMAP, request)
    count = struct.unpack_from("=I", request, 20)[0]
    return [struct.unpack_from("=I", request, 32 + 56 * index + 40)[0] & ~EXTENT_LAST for index in range(count)]


@pytest.mark.parametrize(("layout", "kind"), [("hole", "zero"), ("unwritten", "zero"), ("written", "stamp")])
def test_content_is_what_the_record_says(layout: str, kind: str, directory: Path) -> None:
    (record,) = create(layout, directory)
    assert record == File(3, "f", 300 * PAGE, layout, "target", 3, (Base(0, 300, kind),))  # type: ignore[arg-type]
    looks = stamp.scan((directory / "f").read_bytes(), run=RUN, file=3, first_page=0, page_bytes=PAGE)
    (span,) = looks
    assert (span.first_page, span.pages, span.generation, span.writer) == (0, 300, 0, 0)
    assert span.look == (stamp.Look.ZERO if kind == "zero" else stamp.Look.OWN)


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"reflinked", "snapshotted"}))
@pytest.mark.parametrize("pages", [1, 8, 200])
def test_every_layout_holds_what_its_record_says(layout: str, pages: int, directory: Path) -> None:
    (record,) = create(layout, directory, pages)
    content = (directory / "f").read_bytes()
    stamped = {
        page
        for base in record.base
        if base.kind == "stamp"
        for page in range(base.first_page, base.first_page + base.pages)
    }
    assert len(content) == record.size_bytes
    for page in range(-(-record.size_bytes // PAGE)):
        found = content[page * PAGE : (page + 1) * PAGE]
        base = stamp.page(run=RUN, file=3, page=page, generation=0, writer=0, kind=stamp.Kind.BASE, page_bytes=PAGE)
        assert found == (base if page in stamped else bytes(PAGE))[: len(found)]


def test_alternating_layouts_alternate(directory: Path) -> None:
    (record,) = create("alternating", directory, 8)
    assert [(base.first_page, base.pages) for base in record.base] == [(1, 1), (3, 1), (5, 1), (7, 1)]
    assert (directory / "f").stat().st_blocks * 512 == 4 * PAGE


@pytest.mark.parametrize(
    ("layout", "size_bytes"),
    [("straddling", 8 * PAGE - 1234), ("extended", 4 * PAGE + 1234), ("keep-size", 0), ("inline", 50)],
)
def test_some_files_end_before_their_mapping(layout: str, size_bytes: int, directory: Path) -> None:
    (record,) = create(layout, directory, 8)
    assert record.size_bytes == (directory / "f").stat().st_size == size_bytes


@pytest.mark.root
def test_a_snapshotted_file_shares_all_blocks_with_its_snapshot(scratch: Callable[[list[str], int], Path]) -> None:
    mount_point = scratch(["mkfs.btrfs", "-q", "-K"], 128)
    target, clone = create("snapshotted", mount_point)
    assert (clone.role, clone.file, clone.content_file) == ("clone", 3 + CLONE_ID_OFFSET, 3)
    assert (mount_point / target.name).read_bytes() == (mount_point / clone.name).read_bytes()
    assert EXTENT_SHARED & extent_flags(mount_point / target.name)[0]
    assert (mount_point / clone.name).stat().st_mode & 0o022 == 0
    shown = list(observe_file(Path(target.name), run=RUN, content_file=3, page_bytes=4096, beneath=mount_point))
    assert not [each for each in shown if isinstance(each, Missing)], "the reader follows no links"


@pytest.mark.root
@pytest.mark.parametrize("layout", ["keep-size", "zero-range"])
def test_some_layouts_leave_unwritten_extents(layout: str, scratch: Callable[[list[str], int], Path]) -> None:
    mount_point = scratch(["mkfs.ext4", "-q", "-b", "4096"], 32)
    create(layout, mount_point)
    assert extent_flags(mount_point / "f")[0] & EXTENT_UNWRITTEN


def test_any_user_may_write_to_it(directory: Path) -> None:
    create("hole", directory)
    assert (directory / "f").stat().st_mode & 0o777 == 0o666


def test_a_hole_has_no_blocks_and_a_written_file_has(directory: Path) -> None:
    create("hole", directory)
    layouts.create("written", directory, "g", file=4, pages=300, page_bytes=PAGE, run=RUN)
    assert (directory / "f").stat().st_blocks == 0
    assert (directory / "g").stat().st_blocks * 512 >= 300 * PAGE


@pytest.mark.root
def test_unwritten_extents_are_unwritten(scratch: Callable[[list[str], int], Path]) -> None:
    mount_point = scratch(["mkfs.ext4", "-q", "-b", "4096"], 32)
    create("unwritten", mount_point)
    assert extent_flags(mount_point / "f")[0] == EXTENT_UNWRITTEN


@pytest.mark.root
def test_a_reflinked_file_shares_all_blocks_with_its_clone(scratch: Callable[[list[str], int], Path]) -> None:
    mount_point = scratch(["mkfs.xfs", "-q", "-K", "-m", "reflink=1"], 300)
    target, clone = create("reflinked", mount_point)
    assert (target.role, target.file, target.content_file) == ("target", 3, 3)
    assert (clone.role, clone.file, clone.content_file) == ("clone", 3 + CLONE_ID_OFFSET, 3)
    assert (clone.size_bytes, clone.base) == (target.size_bytes, target.base)
    assert (mount_point / target.name).read_bytes() == (mount_point / clone.name).read_bytes()
    assert extent_flags(mount_point / target.name) == [EXTENT_SHARED]
    assert (mount_point / clone.name).stat().st_mode & 0o022 == 0


@pytest.mark.root
def test_what_a_filesystem_refuses_is_unsupported_and_leaves_nothing(
    scratch: Callable[[list[str], int], Path],
) -> None:
    mount_point = scratch(["mkfs.ext4", "-q", "-b", "4096"], 32)
    with pytest.raises(Unsupported) as caught:
        create("reflinked", mount_point)
    assert (caught.value.what, caught.value.reason) == ("reflinked", "Operation not supported")
    assert [path.name for path in mount_point.iterdir()] == ["lost+found"]


def test_a_filesystem_without_preallocation_is_unsupported(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As fallocate(2) fails on the real ext2 driver and jfs, which this kernel may not have."""

    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(libc, "fallocate", refuse)
    with pytest.raises(Unsupported, match="unwritten is not supported here: Operation not supported"):
        create("unwritten", directory)
    assert not list(directory.iterdir())


@pytest.mark.root
def test_a_full_filesystem_is_an_error_and_not_unsupported(scratch: Callable[[list[str], int], Path]) -> None:
    mount_point = scratch(["mkfs.ext4", "-q", "-b", "4096", "-m", "0"], 8)
    for layout in ("unwritten", "written"):
        with pytest.raises(OSError, match="No space left"):
            create(layout, mount_point, pages=4000)
        (mount_point / "f").unlink()


def test_never_takes_an_existing_file(directory: Path) -> None:
    (directory / "f").touch()
    with pytest.raises(FileExistsError):
        create("hole", directory)

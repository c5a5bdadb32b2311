"""Files that somebody else may have put there are read as what they are, or not at all."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from verify.descriptors import kept_files, opened_kept, read_kept


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    assert read_kept(tmp_path / "x") == b"content"
    with opened_kept(tmp_path / "x") as kept:
        assert not os.get_inheritable(kept.fileno())


def test_the_directory_may_be_a_link_as_the_user_named_it(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/x").write_bytes(b"content")
    (tmp_path / "link").symlink_to("home")
    assert read_kept(tmp_path / "link/x") == b"content"


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "socket", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    with socket.socket(socket.AF_UNIX) as bound:
        match kind:
            case "link":
                path.symlink_to("/etc/passwd")
            case "fifo":
                os.mkfifo(path)
            case "directory":
                path.mkdir()
            case "socket":
                bound.bind(str(path))
            case "device":
                path = Path("/dev/zero")
        with pytest.raises(OSError, match=r"no regular file|symbolic link|No such device") as refused:
            read_kept(path)
    assert refused.value.filename == str(path)


def test_a_file_that_is_too_long_is_refused_and_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(OSError, match="more than 1000 bytes"):
        read_kept(tmp_path / "x", 1000)


def test_files_are_listed_and_what_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    (tmp_path / "d").mkdir()
    assert [path.name for path in kept_files(tmp_path)] == ["a", "b"]
    (tmp_path / "c").symlink_to(tmp_path / "d")
    with pytest.raises(OSError, match="no regular file"):
        kept_files(tmp_path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(OSError, match="no regular file"):
            read_kept(tmp_path / "x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before

"""What a guest leaves is taken by one door: plain files of bounded size, and nothing that leads elsewhere."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from torture.lab import outbox
from torture.lab.outbox import Outbox


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    made = Outbox(tmp_path / "out", None)
    made.make()
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A trial's directory on the host, with its plan."""
    place = tmp_path / "trials/00001"
    place.mkdir(parents=True)
    (place / "plan.json").write_text("the plan")
    return place


def test_files_go_in_and_come_out(box: Outbox, directory: Path) -> None:
    inner = box.place / box.lend(directory)
    assert (inner / "plan.json").read_text() == "the plan"
    (inner / "ledger.jsonl").write_text("ledger")
    with open(inner / "image", "wb") as image:
        image.truncate(8 << 20)
        image.seek(5 << 20)
        image.write(b"content")
    assert box.take_back(directory) == []
    assert (directory / "ledger.jsonl").read_text() == "ledger"
    copy = directory / "image"
    assert copy.stat().st_size == 8 << 20
    assert copy.stat().st_blocks * 512 <= 2 << 20, "holes stay holes"
    assert copy.read_bytes()[5 << 20 :].startswith(b"content")
    assert not inner.exists()


def test_what_the_host_put_there_is_the_hosts(box: Outbox, directory: Path) -> None:
    inner = box.place / box.lend(directory)
    (inner / "plan.json").write_text("another plan")
    assert box.take_back(directory) == []
    assert (directory / "plan.json").read_text() == "the plan"


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _hard_link(path: Path) -> None:
    path.hardlink_to(path.with_name("plan.json"))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def _endless(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(outbox.LIMIT_BYTES + 1)


@pytest.mark.parametrize("leave", [_link, _hard_link, os.mkfifo, Path.mkdir, _socket, _endless])
def test_what_is_no_plain_file_stays_behind_and_is_said(
    leave: Callable[[Path], None], box: Outbox, directory: Path
) -> None:
    """The host followed a link, and put the file that it led to into a mail; a pipe had it wait for ever."""
    inner = box.place / box.lend(directory)
    leave(inner / "kernel.log")
    (inner / "ledger.jsonl").write_text("ledger")
    (said,) = box.take_back(directory)
    assert "'kernel.log'" in said
    assert "not taken" in said
    assert sorted(path.name for path in directory.iterdir()) == ["ledger.jsonl", "plan.json"]


def test_a_directory_that_was_swapped_for_a_link_is_not_followed(box: Outbox, directory: Path, tmp_path: Path) -> None:
    inner = box.place / box.lend(directory)
    inner.rename(box.place / "moved")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kernel.log").write_text("secret")
    inner.symlink_to(elsewhere)
    (said,) = box.take_back(directory)
    assert "cannot be read" in said
    assert [path.name for path in directory.iterdir()] == ["plan.json"]
    assert (elsewhere / "kernel.log").exists()


def test_of_a_guest_that_is_gone_nothing_is_taken(box: Outbox, directory: Path) -> None:
    assert "cannot be read" in box.take_back(directory)[0]

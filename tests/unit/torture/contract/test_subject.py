"""What pages look like when they are read back: every look that a judge tells apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from torture.contract.subject import Subject
from verify import stamp

PAGE_BYTES, RUN = 4096, 7


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A file of two pages, written with base stamps."""
    made = Subject(tmp_path / "file", 3, RUN, 2, "none", PAGE_BYTES)
    made.create("written")
    return made


def test_a_written_file_is_base(subject: Subject) -> None:
    assert subject.looks() == ("base", "base")


def test_generations_zeros_and_the_end_of_the_file(subject: Subject) -> None:
    _put(subject, 0, bytes(subject.content(5)[:PAGE_BYTES]))
    os.truncate(subject.path, PAGE_BYTES)
    assert subject.looks() == ("5", "missing")
    os.truncate(subject.path, 2 * PAGE_BYTES)
    assert subject.looks() == ("5", "zero")


def test_a_mixture_of_generations_is_torn(subject: Subject) -> None:
    _put(subject, 512, bytes(subject.content(2)[512:1024]))
    assert subject.looks() == ("torn (2, base)", "base")


def test_content_of_another_page_is_named(subject: Subject) -> None:
    _put(subject, 0, bytes(subject.content(1)[PAGE_BYTES:]))
    assert subject.looks()[0] == "content of page 1 of file 3"


def test_stamps_of_another_run_and_of_free_space_are_foreign(subject: Subject) -> None:
    _put(subject, 0, stamp.page(run=RUN + 1, file=3, page=0, generation=1, writer=1))
    free = {"run": RUN, "file": stamp.FOREIGN_FILE, "page": 9, "generation": 0, "writer": 0}
    _put(subject, PAGE_BYTES, stamp.page(**free, kind=stamp.Kind.FOREIGN))
    assert subject.looks() == ("foreign", "foreign")


def test_anything_else_is_garbage(subject: Subject) -> None:
    _put(subject, 0, b"\x01" * PAGE_BYTES)
    assert subject.looks()[0] == "garbage"


def _put(subject: Subject, offset_bytes: int, content: bytes) -> None:
    with open(subject.path, "r+b") as file:
        file.seek(offset_bytes)
        file.write(content)

"""What fanotify sends is taken apart record by record; a kernel that has none is told from one that has."""

from __future__ import annotations

import struct
from pathlib import Path

from torture.rig.fs_errors import FsErrors, parse
from verify.ledger import FsError


def an_event(mask: int, *records: bytes) -> bytes:
    content = b"".join(records)
    return struct.pack("=IBBHQii", 24 + len(content), 3, 0, 24, mask, -1, 0) + content


def a_record(kind: int, content: bytes) -> bytes:
    return struct.pack("=BBH", kind, 0, 4 + len(content)) + content


ERROR = a_record(5, struct.pack("=iI", 117, 2))
OTHER = a_record(5, struct.pack("=iI", -5, 1))
HANDLE = a_record(1, bytes(8) + struct.pack("=Ii", 8, 1) + bytes(8))


def test_errors_are_found_among_other_records_and_events() -> None:
    content = an_event(0x8000, ERROR, HANDLE) + an_event(0x20, HANDLE) + an_event(0x8000, HANDLE, OTHER)
    assert list(parse(content)) == [FsError(117, 2), FsError(5, 1)]
    assert list(parse(b"")) == []


def test_a_place_that_cannot_be_watched_is_a_reason_and_nothing_is_heard(tmp_path: Path) -> None:
    with FsErrors() as listener:
        listener.watch(tmp_path / "nothing")
        assert listener.missing.startswith(("fanotify_mark: ", "fanotify_init: "))
        assert list(listener.heard()) == []

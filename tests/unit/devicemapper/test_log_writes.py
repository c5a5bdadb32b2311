"""The reader of dm-log-writes: entries, data and marks of a log that is made here as the kernel would."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from devicemapper.log_writes import Entry, Flag, LogDamaged, LogReader, is_logging
from devicemapper.status import Status

MAGIC = 0x6A736677736872


def make_log(path: Path, entries: list[tuple[int, int, Flag, bytes]], *, magic: int = MAGIC) -> None:
    """Entries are (sector, sectors, flags, data or text of the mark)."""
    parts = [struct.pack("<QQQI", magic, 1, len(entries), 512).ljust(512, b"\0")]
    for sector, sectors, flags, content in entries:
        is_mark = bool(flags & Flag.MARK)
        head = struct.pack("<QQQQ", sector, sectors, flags, len(content) if is_mark else 0)
        parts.append((head + (content if is_mark else b"")).ljust(512, b"\0"))
        if not is_mark:
            parts.append(content)
    path.write_bytes(b"".join(parts))


def test_entries_come_in_order_with_their_data(tmp_path: Path) -> None:
    path = tmp_path / "log"
    make_log(
        path,
        [
            (8, 2, Flag(0), b"a" * 512 + b"b" * 512),
            (0, 0, Flag.FLUSH, b""),
            (0, 0, Flag.MARK, b"17"),
            (64, 8, Flag.DISCARD, b""),
            (9, 1, Flag.FUA | Flag.METADATA, b"c" * 512),
        ],
    )
    with LogReader(path) as log:
        entries = list(log.entries())
        assert [(entry.sector, entry.sectors, entry.mark) for entry in entries] == [
            (8, 2, ""),
            (0, 0, ""),
            (0, 0, "17"),
            (64, 8, ""),
            (9, 1, ""),
        ]
        assert [entry.writes for entry in entries] == [True, False, False, False, True]
        assert [entry.is_barrier for entry in entries] == [False, True, False, False, True]
        assert [(sector, bytes(data)) for sector, data in log.data(entries[0], 1, 1)] == [(9, b"b" * 512)]
        assert [(sector, bytes(data)) for sector, data in log.data(entries[4])] == [(9, b"c" * 512)]


def test_a_log_longer_than_the_buffer(tmp_path: Path) -> None:
    path = tmp_path / "log"
    big = bytes(range(256)) * 2 * 9000
    make_log(path, [(0, 9000, Flag(0), big), (9000, 1, Flag.FUA, b"z" * 512)])
    with LogReader(path) as log:
        first, last = log.entries()
        assert b"".join(bytes(data) for _, data in log.data(first)) == big
        assert [bytes(data) for _, data in log.data(last)] == [b"z" * 512]


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log"
    make_log(path, [], magic=1)
    with LogReader(path) as log, pytest.raises(LogDamaged, match="magic 0x1"):
        list(log.entries())


def test_a_log_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log"
    make_log(path, [(0, 8, Flag(0), b"x" * 512)])
    with LogReader(path) as log, pytest.raises(LogDamaged, match="ends at byte"):
        entries: list[Entry] = list(log.entries())
        list(log.data(entries[0]))


def test_a_full_log_device_shows_in_the_status() -> None:
    assert is_logging((Status(0, 8, "log-writes", ("12", "345")),))
    assert not is_logging((Status(0, 8, "log-writes", ("12", "345", "logging_disabled")),))
    with pytest.raises(ValueError, match="no log-writes target"):
        is_logging((Status(0, 8, "linear", ()),))

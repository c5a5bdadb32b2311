"""The ledger: what is appended is read back, whatever instant its writers were killed at."""

import os
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fuzz.values import values
from verify import ledger
from verify.ledger import Record, decode
from verify.ledger_file import LedgerError, LedgerWriter, read_ledger

RECORDS = st.one_of([values(record) for record in get_args(Record)])


@settings(max_examples=150)
@given(record=RECORDS)
def test_records_survive_encoding(record: Record) -> None:
    line = record.encode()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == record


@settings(max_examples=60)
@given(records=st.lists(RECORDS, max_size=5), lost_bytes=st.integers(0, 400))
def test_a_torn_tail_loses_whole_records_from_the_end_only(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], lost_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    with LedgerWriter(path) as writer:
        for record in records:
            writer.append(record)
    size = path.stat().st_size
    kept = max(size - lost_bytes, 0)
    os.truncate(path, kept)
    ends = [0]
    for record in records:
        ends.append(ends[-1] + len(record.encode()))
    whole = sum(end <= kept for end in ends) - 1
    assert list(read_ledger(path)) == records[:whole]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"[1]\n",
        b"null\n",
        b'["huh",1]\n',
        b'["synced",1]\n',
        b'["synced",1,2,3]\n',
        b'["synced",1,"0"]\n',
        b'["synced",1,true]\n',
        b'["struck","x",1]\n',
        b'["file",1,"a",1,"hole","owner",1,[]]\n',
        b'["file",1,"a",1,"hole","target",1,[[0,1]]]\n',
        b'["file",1,"a",1,"hole","target",1,[[0,1,"ones"]]]\n',
        b'["stored",1,5]\n',
        b'["note","\xff"]\n',
        b'["note","a"]["note","b"]\n',
    ],
)
def test_a_bad_line_elsewhere_is_an_error_that_says_where(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(ledger.Note("x").encode() + line + ledger.Note("y").encode())
    with pytest.raises(LedgerError) as caught:
        list(read_ledger(path))
    assert (caught.value.path, caught.value.line) == (path, 2)
    assert caught.value.reason in str(caught.value)


def test_processes_share_a_ledger_without_mixing_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    children = []
    with LedgerWriter(path) as writer:
        for worker in range(4):
            child = os.fork()
            if not child:
                for number in range(200):
                    writer.append(ledger.Store(worker, 1, number, 1, 1, 0, 4096))
                os._exit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
    records = list(read_ledger(path))
    for worker in range(4):
        pages = [each.first_page for each in records if isinstance(each, ledger.Store) and each.worker == worker]
        assert pages == list(range(200))


def test_appending_goes_on_where_another_writer_stopped(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    for text in "ab":
        with LedgerWriter(path, durable=True) as writer:
            writer.append(ledger.Note(text))
    assert list(read_ledger(path)) == [ledger.Note("a"), ledger.Note("b")]


def test_a_short_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LedgerWriter(tmp_path / "ledger") as writer:
        monkeypatch.setattr(os, "write", lambda descriptor, line: len(line) - 1)
        with pytest.raises(OSError, match="of a ledger record"):
            writer.append(ledger.Note("x"))

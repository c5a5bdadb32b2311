"""The file of a store: opened to be written by the run itself, and to be read by everybody else, who leaves no trace.

Stores are exchanged: whoever opens one believes neither that it is one nor that it ends. It must have exactly the tables
of a store, no view and no trigger; a value has no more than `MOST_VALUE_BYTES`; and a query takes steps in proportion to
the size of the file, whatever loops somebody built into it.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from urllib.parse import quote

from torture.errors import BadRequest
from verify.codec import shown
from verify.descriptors import opened_kept

SCHEMA_VERSION = 3
MOST_VALUE_BYTES = 32 << 20
"""Of a field; the largest are the findings of a trial."""
SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE task (
    number INTEGER PRIMARY KEY,
    arm TEXT NOT NULL,
    kernel TEXT NOT NULL,
    plan TEXT NOT NULL
);
CREATE TABLE result (
    number INTEGER PRIMARY KEY REFERENCES task(number),
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    findings TEXT NOT NULL,
    missed_canary INTEGER NOT NULL,
    phases TEXT NOT NULL,
    seconds REAL NOT NULL,
    release TEXT NOT NULL,
    evidence TEXT NOT NULL
);
"""
_TABLES = "a store has the tables run, task and result, and nothing else"
_WAL = "-wal"
_MOST_COPIED_BYTES = 1 << 30
_STEPS = 100_000
"""Of SQLite's virtual machine, after which it is asked whether to go on."""
_MOST_TURNS = 20_000
"""So often it goes on at most, for a log may lie about the size of the file: enough for millions of trials."""
_STEPS_PER_BYTE = 10
"""A row of a trial takes some 50 steps and has more than 500 bytes."""


@contextmanager
def open_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """A store that is not written, nor is anything beside it: not its write-ahead log, which may hold the newest trials,
    nor a lock. Raises BadRequest for what is none, sqlite3.Error, OSError.

    Without a log, all is in the file, and nobody writes to it (`immutable`: a reader of a file in WAL mode makes a log
    otherwise). With a log and the shared memory of its writers, living or dead, SQLite reads all three (`readonly_shm`).
    A log that lost its shared memory is read from a copy, as SQLite would make it anew beside the log.
    """
    if _is_there(path, "-journal") or not _is_there(path, ""):
        raise BadRequest(f"{path} has a rollback journal", "a store has none")
    how = ""
    with ExitStack() as undo:
        if not _is_there(path, _WAL):
            how = "immutable=1"
        elif _is_there(path, "-shm"):
            how = "readonly_shm=1"
        else:
            path = _copied(path, Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="torture-store-"))))
        uri = f"file:{quote(os.fspath(path.absolute()))}?mode=ro&{how}"
        connection = undo.enter_context(closing(sqlite3.connect(uri, uri=True, isolation_level=None)))
        connection.execute("PRAGMA query_only=ON")
        _check(connection, path)
        yield connection


def open_to_write(path: Path, *, create: bool) -> sqlite3.Connection:
    """A store of this process; `create` makes it. BadRequest for what is none, sqlite3.Error."""
    with ExitStack() as undo:
        connection = undo.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
        if create:
            connection.executescript(SCHEMA)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        _check(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        undo.pop_all()
    return connection


def rows(connection: sqlite3.Connection, query: str) -> Iterator[dict[str, object]]:
    """What a query finds, by name of column; sqlite3.Error for a file that would keep it busy for ever."""
    ((pages,), (page_bytes,)) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    turns, most = count(), min(100 + pages * page_bytes * _STEPS_PER_BYTE // _STEPS, _MOST_TURNS)
    connection.set_progress_handler(lambda: next(turns) > most, _STEPS)
    try:
        cursor = connection.execute(query)
        names = [column for column, *_ in cursor.description]
        yield from (dict(zip(names, row, strict=True)) for row in cursor)
    finally:
        with suppress(sqlite3.ProgrammingError):  # closed meanwhile
            connection.set_progress_handler(None, 0)


def _is_there(path: Path, suffix: str) -> bool:
    """Whether the store has such a file beside it. OSError if that is not a regular one. Nothing is opened: whoever closes
    a file takes away the locks that SQLite has on it in the same process (fcntl(2))."""
    try:
        kind = path.with_name(path.name + suffix).lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(kind):
        raise OSError(errno.EINVAL, "it is no regular file", f"{path}{suffix}")
    return True


def _copied(path: Path, private: Path) -> Path:
    for name in (path.name, path.name + _WAL):
        with opened_kept(path.with_name(name)) as source, open(private / name, "wb") as copy:
            if os.fstat(source.fileno()).st_size > _MOST_COPIED_BYTES:
                raise OSError(errno.EFBIG, "it is too large to be copied, and its shared memory is gone", str(path))
            shutil.copyfileobj(source, copy)
    return private / path.name


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """BadRequest unless it is a store that this version reads. Its version tells first: others have other tables."""
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE_BYTES)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != SCHEMA_VERSION:
        reader = "an older checkout" if version < SCHEMA_VERSION else "a newer version"
        raise BadRequest(
            f"{path} is a store of trials that has schema {version}, this version of torture reads {SCHEMA_VERSION}",
            f"{reader} of torture, such as the one that wrote it, reads it",
        )
    expected = set(_ours())
    for found in _objects(connection):
        if found not in expected:
            raise BadRequest(f"{path} has in its schema {shown(found)}", _TABLES)
        expected.remove(found)
    if expected:
        raise BadRequest(f"{path} lacks a table", _TABLES)


@cache
def _ours() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return frozenset(_objects(connection))


def _objects(connection: sqlite3.Connection) -> Iterator[str]:
    return (
        " ".join(map(str, row.values())) for row in rows(connection, "SELECT type, name, tbl_name, sql FROM sqlite_master")
    )

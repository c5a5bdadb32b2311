"""The file of a ledger: appended to by several processes at once, read record by record.

Every record is appended with one write(2) to a descriptor opened with O_APPEND, so the processes that share a ledger
never mix their lines. A writer killed within a record leaves a torn last line, which is dropped.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from verify.closing import Closing
from verify.descriptors import lines
from verify.ledger import Record, decode


class LedgerError(Exception):
    """A line that is no record, other than a torn last one."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(path, line, reason)
        self.path = path
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.reason}"


class LedgerWriter(Closing):
    """Appends records; a context manager. Forked children may share it, each record stays whole.

    `durable` makes every record survive the death of the kernel that the writer runs on, at the price of an
    fdatasync(2) each. Raises OSError if the ledger cannot be opened or written.
    """

    def __init__(self, path: Path | str, *, durable: bool = False) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._durable = durable

    def append(self, record: Record) -> None:
        """Write one record with one write(2)."""
        line = record.encode()
        written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes of a ledger record were written")
        if self._durable:
            os.fdatasync(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


def read_ledger(path: Path | str) -> Iterator[Record]:
    """The records in order, one line in memory at a time; a torn last line is dropped.

    Raises LedgerError for any other line that is not a record, OSError if the file cannot be read.
    """
    for number, line in enumerate(lines(path), 1):
        if not line.endswith(b"\n"):
            return
        try:
            yield decode(line)
        except ValueError as error:
            raise LedgerError(Path(path), number, str(error)) from error

"""The file that a worker has open and the shared mapping of its pages: what pins, access paths, syncs and disturbances
work on.

The mapping is made by libc and not by Python's mmap, which neither maps past the end of a file nor takes MAP_LOCKED,
and which keeps a second descriptor. Open file descriptions matter: msync and fsync report a writeback error once
through each (errseq, Documentation/core-api/errseq.rst).
"""

from __future__ import annotations

import ctypes
import os
from contextlib import ExitStack
from pathlib import Path

from verify.closing import Closing
from workloads import libc

_CLOSED = -1


class MappedFile(Closing):
    """Pages first_page .. first_page + pages of a file, opened read-write, mapped after `map`.

    `descriptor` is what the mapping is made of; `other_descriptor` was opened at the same time and is there for syncs
    through another open file description. `held` is undone before the unmapping: whatever a pin needs to last.
    A context manager: leaving it unmaps, then closes. `view` is the mapping as bytes; slices of it must be gone by
    then, since touching them afterwards is a segmentation fault.
    """

    def __init__(self, path: Path, *, file: int, first_page: int, pages: int, page_bytes: int) -> None:
        """Open the file. Raises OSError."""
        self.path = path
        self.file = file
        self.first_page = first_page
        self.pages = pages
        self.page_bytes = page_bytes
        self.address = 0
        self.view = memoryview(b"")
        self.held = ExitStack()
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.other_descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    @property
    def length_bytes(self) -> int:
        """Size of the mapping."""
        return self.pages * self.page_bytes

    @property
    def offset_bytes(self) -> int:
        """Where in the file the mapping begins."""
        return self.first_page * self.page_bytes

    @property
    def end_page(self) -> int:
        """The first page of the file after the mapping."""
        return self.first_page + self.pages

    def page_address(self, page: int) -> int:
        """Where a page of the file is mapped."""
        return self.address + (page - self.first_page) * self.page_bytes

    def map(self, flags: int = 0) -> None:
        """Map the pages MAP_SHARED, readable and writable, with further MAP_ flags. Raises OSError."""
        prot = libc.PROT_READ | libc.PROT_WRITE
        shared = libc.MAP_SHARED | flags
        self._view_at(libc.mmap(self.length_bytes, prot, shared, self.descriptor, self.offset_bytes))

    def move(self) -> None:
        """Move the mapping to another address (mremap(2)). Raises OSError."""
        self._view_at(libc.move_mapping(self.address, self.length_bytes))

    def reopen(self) -> None:
        """Unmap, close, and open again, not mapped: nothing reports a writeback error on the way. Raises OSError."""
        self.close()
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self.other_descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Unmap, then close: neither reports a writeback error. Raises OSError."""
        self.held.close()
        self.view = memoryview(b"")
        if self.address:
            libc.munmap(self.address, self.length_bytes)
            self.address = 0
        for descriptor in (self.descriptor, self.other_descriptor):
            if descriptor != _CLOSED:
                os.close(descriptor)
        self.descriptor = self.other_descriptor = _CLOSED

    def _view_at(self, address: int) -> None:
        self.address = address
        self.view = memoryview((ctypes.c_char * self.length_bytes).from_address(address)).cast("B")

"""Access paths: how bytes get into a worker's mapping. One row of `ACCESSES` each, by the name that
plans use.

An access path is opened on a mapped file and then stores pages, one by one, never dying of a page whose
fault fails: it returns that page as a Fault. A store in user mode raises SIGBUS there (trapped in
native code, `_access.c`); a copy by the kernel, such as read(2) into the mapping, fails with EFAULT
(Documentation/filesystems/locking.rst, ->page_mkwrite; copy_to_user).
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod

from verify.ledger import Fault
from workloads import _access
from workloads.mapped_file import MappedFile


class Access(ABC):
    """One way of storing into a mapping, opened on it; a subclass adds itself to `ACCESSES`."""

    def __init__(self, mapped: MappedFile) -> None:
        self.mapped = mapped

    def reach(self) -> tuple[int, int]:
        """The bytes [lo, hi) of each page that `store` stores; the whole page unless a subclass says
        otherwise.
        """
        return 0, self.mapped.page_bytes

    @abstractmethod
    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[Fault, ...]:
        """Store bytes `reach()` of pages of the file, taken from `content`, which is `pages` whole pages.

        Returns the pages that were refused, in order. Raises OSError for an error that is no fault of
        the page.
        """

    def close(self) -> None:
        """Give back what the access path holds besides the mapped file."""
        return


class UserStore(Access):
    """A store instruction of the program itself (memcpy)."""

    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[Fault, ...]:
        mapped = self.mapped
        within = first_page - mapped.first_page
        refused = _access.store(mapped.view, content, mapped.page_bytes, within, pages, *self.reach())
        return tuple(Fault(first_page + page, "SIGBUS", code, address) for page, code, address in refused)


class ReadInto(Access):
    """read(2), from a memory file that holds the content, into the mapping: the kernel does the copy."""

    def __init__(self, mapped: MappedFile) -> None:
        super().__init__(mapped)
        self._source = os.memfd_create("content")

    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[Fault, ...]:
        os.pwrite(self._source, content, 0)
        faults = (self._read_page(first_page, page) for page in range(first_page, first_page + pages))
        return tuple(fault for fault in faults if fault)

    def _read_page(self, first_page: int, page: int) -> Fault | None:
        """One read of one page; a fault in mid-page ends it short, and the read of the rest then fails."""
        mapped = self.mapped
        done, hi = self.reach()
        while done < hi:
            start = (page - mapped.first_page) * mapped.page_bytes
            source = (page - first_page) * mapped.page_bytes + done
            try:
                done += os.preadv(self._source, [mapped.view[start + done : start + hi]], source)
            except OSError as error:
                if error.errno != errno.EFAULT:
                    raise
                return Fault(page, "EFAULT", errno.EFAULT, mapped.page_address(page) + done)
        return None

    def close(self) -> None:
        os.close(self._source)


ACCESSES: dict[str, type[Access]] = {"store": UserStore, "read": ReadInto}

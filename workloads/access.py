"""Access paths: how bytes get into a worker's mapping. One class of `ACCESSES` each, by the name that plans use.

An access path is opened on a mapped file and then stores pages, never dying of a page whose fault fails: it returns
that page as a RefusedPage. A store in user mode raises SIGBUS there (trapped in native code, `_access.c`); a copy by the
kernel, such as read(2) into the mapping, fails with EFAULT (Documentation/filesystems/locking.rst, ->page_mkwrite;
copy_to_user), one through another process's eyes with EIO (fs/proc/base.c, mem_rw).
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

from verify.descriptors import opened
from verify.ledger import RefusedPage
from verify.stamp import SECTOR_BYTES
from workloads import _access, libc
from workloads.children import in_child
from workloads.mapped_file import MappedFile
from workloads.unsupported import refusable

SOURCE_PAGES = 256
"""Stores come in batches of at most so many pages (workloads.operations)."""


class Access(ABC):
    """One way of storing into a mapping, opened on it; a subclass adds itself to `ACCESSES`."""

    crossing = False
    """Whether a store goes from byte lo of its first page to byte hi of its last, in one piece; it is then given two
    pages at a time."""

    def __init__(self, mapped: MappedFile) -> None:
        self.mapped = mapped

    @classmethod
    def prepare(cls, path: Path, first_page: int, pages: int, page_bytes: int) -> None:
        """Make what this path needs besides the file, as root and before the filesystem is filled: by default nothing.
        Raises Unsupported when the filesystem cannot serve it."""
        return

    def reach(self) -> tuple[int, int]:
        """The bytes [lo, hi) of each page that `store` stores; the whole page unless a subclass says otherwise."""
        return 0, self.mapped.page_bytes

    @abstractmethod
    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[RefusedPage, ...]:
        """Store bytes `reach()` of pages of the file, taken from `content`, which is `pages` whole pages.

        Returns the pages that were refused, in order. Raises OSError for an error that is no fault of the page.
        """

    def close(self) -> None:
        """Give back what the access path holds besides the mapped file."""
        return


class UserStore(Access):
    """A store instruction of the program itself (memcpy)."""

    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[RefusedPage, ...]:
        mapped = self.mapped
        within = first_page - mapped.first_page
        refused = _access.store(mapped.view, content, mapped.page_bytes, within, pages, *self.reach())
        return tuple(RefusedPage(first_page + page, "SIGBUS", code, address) for page, code, address in refused)


class StoreByte(UserStore):
    """One byte in the middle of a page."""

    def reach(self) -> tuple[int, int]:
        middle = self.mapped.page_bytes // 2 + 77
        return middle, middle + 1


class StoreSector(UserStore):
    """The second sector of a page."""

    def reach(self) -> tuple[int, int]:
        return SECTOR_BYTES, 2 * SECTOR_BYTES


class StoreUnaligned(UserStore):
    """From an odd byte of one sector to an odd byte of another."""

    def reach(self) -> tuple[int, int]:
        return 333, self.mapped.page_bytes - 555


class StoreCrossing(UserStore):
    """One memcpy over the boundary of two pages. Refused at either page it may have reached any byte of both."""

    crossing = True

    def reach(self) -> tuple[int, int]:
        return self.mapped.page_bytes - 100, 100

    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[RefusedPage, ...]:
        mapped, (lo, hi) = self.mapped, self.reach()
        start = (first_page - mapped.first_page) * mapped.page_bytes
        whole = pages * mapped.page_bytes
        end = whole if pages == 1 else whole - mapped.page_bytes + hi
        refused = _access.store(mapped.view[start : start + whole], content, whole, 0, 1, lo, end)
        return tuple(
            RefusedPage(first_page + page, "SIGBUS", code, address) for _, code, address in refused for page in range(pages)
        )


class _KernelCopy(Access):
    """The kernel copies, page by page; a fault in mid-page ends a copy short, and that of the rest then fails."""

    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[RefusedPage, ...]:
        self._provide(content)
        faults = (self._copy_page(first_page, page, content) for page in range(first_page, first_page + pages))
        return tuple(fault for fault in faults if fault)

    def _copy_page(self, first_page: int, page: int, content: memoryview) -> RefusedPage | None:
        mapped = self.mapped
        done, hi = self.reach()
        while done < hi:
            start = (page - mapped.first_page) * mapped.page_bytes
            source = (page - first_page) * mapped.page_bytes
            try:
                done += self._copy(content, source + done, start + done, hi - done)
            except OSError as error:
                if error.errno not in (errno.EFAULT, errno.EIO):
                    raise
                return RefusedPage(page, errno.errorcode[error.errno], error.errno, mapped.page_address(page) + done)
        return None

    def _provide(self, content: memoryview) -> None:
        """Put the content where `_copy` takes it from, if that is not this process's memory."""

    @abstractmethod
    def _copy(self, content: memoryview, source: int, target: int, length_bytes: int) -> int:
        """Copy from byte `source` of the content to byte `target` of the mapping; returns how many bytes."""


class ReadInto(_KernelCopy):
    """read(2), from a memory file that holds the content, into the mapping."""

    def __init__(self, mapped: MappedFile) -> None:
        super().__init__(mapped)
        self._source = os.memfd_create("content")

    def _provide(self, content: memoryview) -> None:
        os.pwrite(self._source, content, 0)

    def _copy(self, content: memoryview, source: int, target: int, length_bytes: int) -> int:
        return os.preadv(self._source, [self.mapped.view[target : target + length_bytes]], source)

    def close(self) -> None:
        os.close(self._source)


class ReadScattered(ReadInto):
    """readv(2) into pieces of the page that do not meet at sectors."""

    def _copy(self, content: memoryview, source: int, target: int, length_bytes: int) -> int:
        cuts = [*range(0, length_bytes, 777), length_bytes]
        pieces = [self.mapped.view[target + lo : target + hi] for lo, hi in pairwise(cuts)]
        return os.preadv(self._source, pieces, source)


class ProcessVmWritev(_KernelCopy):
    """process_vm_writev(2) to the process itself: the kernel takes the pages and writes to them by their kernel
    address (mm/process_vm_access.c)."""

    def _copy(self, content: memoryview, source: int, target: int, length_bytes: int) -> int:
        piece = content[source : source + length_bytes]
        return libc.process_vm_writev(os.getpid(), piece, self.mapped.address + target)


class ProcMem(_KernelCopy):
    """write(2) to /proc/self/mem. A process that changed its user must be dumpable to open it (proc(5)), and is for no
    longer: whoever is dumpable may be traced by others of its user."""

    def __init__(self, mapped: MappedFile) -> None:
        super().__init__(mapped)
        was = libc.prctl(libc.PR_GET_DUMPABLE, 0) == 1  # 2, which the kernel makes it at times, nobody may set
        libc.prctl(libc.PR_SET_DUMPABLE, 1)
        try:
            self._memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
        finally:
            libc.prctl(libc.PR_SET_DUMPABLE, was)

    def _copy(self, content: memoryview, source: int, target: int, length_bytes: int) -> int:
        return os.pwrite(self._memory, content[source : source + length_bytes], self.mapped.address + target)

    def close(self) -> None:
        os.close(self._memory)


class DirectRead(_KernelCopy):
    """O_DIRECT read into the mapping from another file of the same filesystem.

    The disk writes into pages that the kernel took; when it is done they are dirtied once more, without page_mkwrite if
    writeback cleaned them in between (Documentation/core-api/pin_user_pages.rst, CASE 2): a known design hole, so
    its findings stand under this name. A source that cannot be filled is a refusal, the pages were not touched.
    """

    def __init__(self, mapped: MappedFile) -> None:
        super().__init__(mapped)
        source = self._source_path(mapped.path, mapped.first_page)
        self._source = os.open(source, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        self._filler = os.open(source, os.O_RDWR | os.O_CLOEXEC)

    @classmethod
    def prepare(cls, path: Path, first_page: int, pages: int, page_bytes: int) -> None:
        source = cls._source_path(path, first_page)
        source.write_bytes(b"\x5a" * (min(pages, SOURCE_PAGES) * page_bytes))
        source.chmod(0o666)
        with refusable("O_DIRECT", source), opened(source, os.O_RDWR | os.O_DIRECT):
            pass

    @staticmethod
    def _source_path(path: Path, first_page: int) -> Path:
        return path.with_name(f"{path.name}.source-{first_page}")

    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[RefusedPage, ...]:
        try:
            return super().store(first_page, pages, content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            how = f"source {errno.errorcode[error.errno]}"
            return tuple(RefusedPage(page, how, error.errno, 0) for page in range(first_page, first_page + pages))

    def _provide(self, content: memoryview) -> None:
        os.pwrite(self._filler, content, 0)
        os.fdatasync(self._filler)

    def _copy(self, content: memoryview, source: int, target: int, length_bytes: int) -> int:
        return os.preadv(self._source, [self.mapped.view[target : target + length_bytes]], source)

    def close(self) -> None:
        os.close(self._source)
        os.close(self._filler)


class ForkedChild(UserStore):
    """A forked child stores through the mapping that it inherited; locks are not inherited (mlock(2))."""

    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[RefusedPage, ...]:
        return _from_child(lambda: super(ForkedChild, self).store(first_page, pages, content))


class SecondProcess(UserStore):
    """Another process opens the file, maps it, stores, unmaps and exits."""

    def store(self, first_page: int, pages: int, content: memoryview) -> tuple[RefusedPage, ...]:
        return _from_child(lambda: self._store_elsewhere(first_page, pages, content))

    def _store_elsewhere(self, first_page: int, pages: int, content: memoryview) -> tuple[RefusedPage, ...]:
        with _twin(self.mapped) as twin:
            twin.map()
            return UserStore(twin).store(first_page, pages, content)


class SecondDescriptor(UserStore):
    """Through a second, unpinned mapping of the same pages, made of another open file description."""

    def __init__(self, mapped: MappedFile) -> None:
        super().__init__(_twin(mapped))
        self.mapped.map()

    def close(self) -> None:
        self.mapped.close()


def _twin(mapped: MappedFile) -> MappedFile:
    return MappedFile(
        mapped.path, file=mapped.file, first_page=mapped.first_page, pages=mapped.pages, page_bytes=mapped.page_bytes
    )


def _from_child(store: Callable[[], tuple[RefusedPage, ...]]) -> tuple[RefusedPage, ...]:
    return tuple(RefusedPage(*fields) for fields in in_child(lambda: [astuple(fault) for fault in store()]))


ACCESSES: dict[str, type[Access]] = {
    "store": UserStore,
    "read": ReadInto,
    "store-byte": StoreByte,
    "store-sector": StoreSector,
    "store-unaligned": StoreUnaligned,
    "store-crossing": StoreCrossing,
    "readv": ReadScattered,
    "process-vm-writev": ProcessVmWritev,
    "proc-mem": ProcMem,
    "direct-read": DirectRead,
    "forked-child": ForkedChild,
    "second-process": SecondProcess,
    "second-descriptor": SecondDescriptor,
}

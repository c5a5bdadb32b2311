"""The C for each pin, access path, sync and disturbance, by the name that plans use. Pure data.

What has no row here cannot be exported as a program. Adding a row is all that it takes; a function that its statements
call is a part of `snippets.c.in`, under its own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torture.export.quoting import Code, sections

_FUNCTIONS = sections("snippets.c.in")


@dataclass(frozen=True, slots=True)
class AccessSnippet:
    """The C of an access path: how bytes get into the mapping."""

    name: str
    """The function that stores into one page, a `put_function`."""
    reach: tuple[str, str] = ("0", "PAGE")
    """It stores the bytes from the first to before the second of each page, as C expressions."""
    target: str = "m"
    """The variable of the mapping that is stored to."""

    @property
    def store(self) -> Code:
        """The statement that stores into some pages."""
        return Code(f"store(&{self.target}, @FIRST@, @LENGTH@, {self.name}, {', '.join(self.reach)});")

    @property
    def functions(self) -> Iterator[Code]:
        """The function, after those that it calls."""
        return functions(f"{self.name}()")


def functions(code: str) -> Iterator[Code]:
    """The functions of ours that a piece of C calls, each after those that it calls itself; maybe several times."""
    for name in re.findall(r"\w+(?=\()", code):
        called = _FUNCTIONS.get(name)
        if called is not None and called != code:
            yield from functions(called)
            yield called


def _c(*lines: str) -> Code:
    """Statements of a worker, with the values that `program._step` gives them."""
    return Code("\n".join(lines))


_MAP = "map(&m, 0);"
_MLOCK = 'must(!mlock(m.address, m.bytes), "mlock");'
_CURRENT = "MCL_CURRENT | MCL_ONFAULT"

PINS: dict[str, Code] = {
    "none": _c(_MAP),
    "mlock": _c(_MAP, _MLOCK),
    "mlock2-onfault": _c(_MAP, 'must(!mlock2(m.address, m.bytes, MLOCK_ONFAULT), "mlock2");'),
    "map-locked": _c("map(&m, MAP_LOCKED);"),
    "mlock-part": _c(_MAP, 'must(!mlock(m.address, (m.pages > 1 ? m.pages / 2 : 1) * (size_t)PAGE), "mlock");'),
    "munlocked": _c(_MAP, _MLOCK, 'must(!munlock(m.address, m.bytes), "munlock");'),
    "mlockall-current": _c(_MAP, 'must(!mlockall(MCL_CURRENT), "mlockall");'),
    "mlockall-current-onfault": _c(_MAP, f'must(!mlockall({_CURRENT}), "mlockall");'),
    "mlockall-future": _c('must(!mlockall(MCL_FUTURE), "mlockall");', _MAP),
    "mlockall-future-onfault": _c('must(!mlockall(MCL_FUTURE | MCL_ONFAULT), "mlockall");', _MAP),
    "map-populate": _c("map(&m, MAP_POPULATE);"),
    "populate-read": _c(_MAP, 'must(!madvise(m.address, m.bytes, 22), "MADV_POPULATE_READ");'),
    "populate-write": _c(_MAP, 'must(!madvise(m.address, m.bytes, 23) || errno == EFAULT, "MADV_POPULATE_WRITE");'),
    "mlock-elsewhere": _c(_MAP, "mlock_elsewhere(&m);"),
}

ACCESSES: dict[str, AccessSnippet] = {
    "store": AccessSnippet("by_memcpy"),
    "store-byte": AccessSnippet("by_memcpy", ("PAGE / 2 + 77", "PAGE / 2 + 78")),
    "store-sector": AccessSnippet("by_memcpy", ("512", "1024")),
    "store-unaligned": AccessSnippet("by_memcpy", ("333", "PAGE - 555")),
    "second-descriptor": AccessSnippet("by_memcpy", target="other"),
    "read": AccessSnippet("by_read"),
    "readv": AccessSnippet("by_readv"),
    "process-vm-writev": AccessSnippet("by_process_vm_writev"),
    "proc-mem": AccessSnippet("by_proc_mem"),
}


_FILE = "cover(m.file, 1, 0, PAGES);"
_ALL = "cover(0, FILES, 0, PAGES);"
_SOME = "cover(m.file, 1, @FIRST@, @LENGTH@);"
_AT = "m.address + (@FIRST@ - m.first) * (size_t)PAGE"

SYNCS: dict[str, Code] = {
    "msync": _c(_SOME, f"answer(msync({_AT}, @LENGTH@ * (size_t)PAGE, MS_SYNC));"),
    "msync-pages": _c(_SOME, "answer(msync_pages(&m, @FIRST@, @LENGTH@));"),
    "async-fsync": _c(_FILE, "answer(msync(m.address, m.bytes, MS_ASYNC) || fsync(m.fd));"),
    "fsync": _c(_FILE, "answer(fsync(m.fd));"),
    "fsync-other": _c(_FILE, "answer(fsync(m.other_fd));"),
    "fdatasync": _c(_FILE, "answer(fdatasync(m.fd));"),
    "syncfs": _c(_ALL, "answer(syncfs(m.fd));"),
    "sync": _c(_ALL, "sync();", "answer(0);"),
    "sync-file-range": _c(
        "/* Promises nothing, but uses up the error that is to be reported. */",
        "sync_file_range(m.fd, @FIRST@ * (off_t)PAGE, @LENGTH@ * (off_t)PAGE, SYNC_FILE_RANGE_WAIT_BEFORE |",
        "\t\tSYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);",
    ),
    "nothing": _c(),
}

DISTURBANCES: dict[str, Code] = {
    "gate": _c("gate(&m);"),
    "background": _c("write_back(&m);"),
    "grow": _c("grow(&m);"),
    "mprotect": _c(
        'must(!mprotect(m.address, m.bytes, PROT_READ), "mprotect");',
        'must(!mprotect(m.address, m.bytes, PROT_READ | PROT_WRITE), "mprotect");',
    ),
    "mremap": _c("move(&m);"),
    "fork": _c("fork_and_wait();"),
    "munlock": _c("munlock(m.address, m.bytes);"),
    "relock": _c("munlock(m.address, m.bytes);", _MLOCK),
    "dontneed": _c("madvise(m.address, m.bytes, MADV_DONTNEED);"),
    "pageout": _c("madvise(m.address, m.bytes, 21 /* MADV_PAGEOUT */);"),
    "reopen": _c("munmap(m.address, m.bytes);", "close(m.fd);", "close(m.other_fd);", "@OPEN@", "@PIN@"),
}

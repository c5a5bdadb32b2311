"""The C for each pin, access path, sync and disturbance, by the name that plans use. Pure data.

What has no row here cannot be exported as a program. Adding a row is all that it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torture.export.quoting import Code


@dataclass(frozen=True, slots=True)
class Snippet:
    """The C of a pin, a sync or a disturbance."""

    lines: tuple[str, ...]
    """Statements of a worker, with the values that `program._step` gives them."""
    code: str = ""
    """The functions that the statements call."""

    @property
    def steps(self) -> Code:
        """The statements."""
        return Code("\n".join(self.lines))

    @property
    def functions(self) -> Code:
        """The functions."""
        return Code(self.code)


@dataclass(frozen=True, slots=True)
class AccessSnippet:
    """The C of an access path: how bytes get into the mapping."""

    name: str
    """The function that stores into one page, a `put_function`."""
    code: str
    """The definition of that function."""
    reach: tuple[str, str] = ("0", "PAGE")
    """It stores the bytes from the first to before the second of each page, as C expressions."""
    target: str = "m"
    """The variable of the mapping that is stored to."""

    @property
    def store(self) -> Code:
        """The statement that stores into some pages."""
        return Code(f"store(&{self.target}, @FIRST@, @LENGTH@, {self.name}, {', '.join(self.reach)});")


_MAP = "map(&m, 0);"
_MLOCK = 'must(!mlock(m.address, m.bytes), "mlock");'
_CURRENT = "MCL_CURRENT | MCL_ONFAULT"

PINS: dict[str, Snippet] = {
    "none": Snippet((_MAP,)),
    "mlock": Snippet((_MAP, _MLOCK)),
    "mlock2-onfault": Snippet((_MAP, 'must(!mlock2(m.address, m.bytes, MLOCK_ONFAULT), "mlock2");')),
    "map-locked": Snippet(("map(&m, MAP_LOCKED);",)),
    "mlock-part": Snippet((_MAP, 'must(!mlock(m.address, (m.pages > 1 ? m.pages / 2 : 1) * (size_t)PAGE), "mlock");')),
    "munlocked": Snippet((_MAP, _MLOCK, 'must(!munlock(m.address, m.bytes), "munlock");')),
    "mlockall-current": Snippet((_MAP, 'must(!mlockall(MCL_CURRENT), "mlockall");')),
    "mlockall-current-onfault": Snippet((_MAP, f'must(!mlockall({_CURRENT}), "mlockall");')),
    "mlockall-future": Snippet(('must(!mlockall(MCL_FUTURE), "mlockall");', _MAP)),
    "mlockall-future-onfault": Snippet(('must(!mlockall(MCL_FUTURE | MCL_ONFAULT), "mlockall");', _MAP)),
    "map-populate": Snippet(("map(&m, MAP_POPULATE);",)),
    "populate-read": Snippet((_MAP, 'must(!madvise(m.address, m.bytes, 22), "MADV_POPULATE_READ");')),
    "populate-write": Snippet((_MAP, 'must(!madvise(m.address, m.bytes, 23) || errno == EFAULT, "MADV_POPULATE_WRITE");')),
    "mlock-elsewhere": Snippet(
        (_MAP, "mlock_elsewhere(&m);"),
        r"""
/* Another process maps and locks the same pages, stores nothing, and stays. */
static void mlock_elsewhere(struct mapping *m)
{
	char answer;
	int locked[2];
	pid_t parent = getpid();

	must(!pipe(locked), "pipe");
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		map(m, 0);
		must(!mlock(m->address, m->bytes) && write(locked[1], "", 1) == 1, "mlock");
		while (getppid() == parent)
			pause();
		_exit(FINE);
	}
	must(read(locked[0], &answer, 1) == 1, "mlock in another process");
}
""",
    ),
}

_BY_MEMCPY = r"""
static bool by_memcpy(char *to, const char *from, size_t bytes)
{
	if (sigsetjmp(refused, 1))
		return false;
	memcpy(to, from, bytes);
	return true;
}
"""

_SOURCE = r"""
/* A file in memory with the content. */
static int source(const char *from, size_t bytes)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("content", 0);
	must(pwrite(fd, from, bytes, 0) == (ssize_t)bytes, "memfd");
	return fd;
}
"""

_BY_READ = (
    _SOURCE
    + r"""
/* The kernel copies, and gets EFAULT instead of SIGBUS. */
static bool by_read(char *to, const char *from, size_t bytes)
{
	return pread(source(from, bytes), to, bytes, 0) == (ssize_t)bytes;
}
"""
)

_BY_READV = (
    _SOURCE
    + r"""
/* readv(2) into pieces that do not meet at sectors. */
static bool by_readv(char *to, const char *from, size_t bytes)
{
	struct iovec pieces[PAGE / 777 + 1];
	int count = 0;

	for (size_t at = 0; at < bytes; at += 777)
		pieces[count++] = (struct iovec){ to + at, bytes - at < 777 ? bytes - at : 777 };
	return preadv(source(from, bytes), pieces, count, 0) == (ssize_t)bytes;
}
"""
)

_BY_PROCESS_VM = r"""
static bool by_process_vm_writev(char *to, const char *from, size_t bytes)
{
	struct iovec content = { (void *)from, bytes }, target = { to, bytes };

	return process_vm_writev(getpid(), &content, 1, &target, 1, 0) == (ssize_t)bytes;
}
"""

_BY_PROC_MEM = r"""
static bool by_proc_mem(char *to, const char *from, size_t bytes)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/proc/self/mem", O_RDWR);
	must(fd >= 0, "/proc/self/mem");
	return pwrite(fd, from, bytes, (off_t)(unsigned long)to) == (ssize_t)bytes;
}
"""

ACCESSES: dict[str, AccessSnippet] = {
    "store": AccessSnippet("by_memcpy", _BY_MEMCPY),
    "store-byte": AccessSnippet("by_memcpy", _BY_MEMCPY, ("PAGE / 2 + 77", "PAGE / 2 + 78")),
    "store-sector": AccessSnippet("by_memcpy", _BY_MEMCPY, ("512", "1024")),
    "store-unaligned": AccessSnippet("by_memcpy", _BY_MEMCPY, ("333", "PAGE - 555")),
    "second-descriptor": AccessSnippet("by_memcpy", _BY_MEMCPY, target="other"),
    "read": AccessSnippet("by_read", _BY_READ),
    "readv": AccessSnippet("by_readv", _BY_READV),
    "process-vm-writev": AccessSnippet("by_process_vm_writev", _BY_PROCESS_VM),
    "proc-mem": AccessSnippet("by_proc_mem", _BY_PROC_MEM),
}


def access_code(names: Iterable[str]) -> Iterator[Code]:
    """The functions of access paths, each once; some share the one that holds the content."""
    codes = dict.fromkeys(ACCESSES[name].code for name in names)
    functions = dict.fromkeys(function for code in codes for function in code.split("\n}\n") if function.strip())
    return (Code(f"{function}\n}}\n") for function in functions)


_FILE = "cover(m.file, 1, 0, PAGES);"
_ALL = "cover(0, FILES, 0, PAGES);"
_SOME = "cover(m.file, 1, @FIRST@, @LENGTH@);"
_AT = "m.address + (@FIRST@ - m.first) * (size_t)PAGE"

SYNCS: dict[str, Snippet] = {
    "msync": Snippet((_SOME, f"answer(msync({_AT}, @LENGTH@ * (size_t)PAGE, MS_SYNC));")),
    "msync-pages": Snippet(
        (_SOME, "answer(msync_pages(&m, @FIRST@, @LENGTH@));"),
        r"""
/* One call a page; the first error ends it, since it is reported once. */
static int msync_pages(const struct mapping *m, int first, int pages)
{
	for (int page = first - m->first; page < first - m->first + pages; page++)
		if (msync(m->address + (long)page * PAGE, PAGE, MS_SYNC))
			return -1;
	return 0;
}
""",
    ),
    "async-fsync": Snippet((_FILE, "answer(msync(m.address, m.bytes, MS_ASYNC) || fsync(m.fd));")),
    "fsync": Snippet((_FILE, "answer(fsync(m.fd));")),
    "fsync-other": Snippet((_FILE, "answer(fsync(m.other_fd));")),
    "fdatasync": Snippet((_FILE, "answer(fdatasync(m.fd));")),
    "syncfs": Snippet((_ALL, "answer(syncfs(m.fd));")),
    "sync": Snippet((_ALL, "sync();", "answer(0);")),
    "sync-file-range": Snippet(
        (
            "/* Promises nothing, but uses up the error that is to be reported. */",
            "sync_file_range(m.fd, @FIRST@ * (off_t)PAGE, @LENGTH@ * (off_t)PAGE, SYNC_FILE_RANGE_WAIT_BEFORE |",
            "\t\tSYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);",
        )
    ),
    "nothing": Snippet(()),
}

DISTURBANCES: dict[str, Snippet] = {
    "gate": Snippet(("gate(&m);",)),
    "background": Snippet(
        ("write_back(&m);",),
        r"""
/*
 * What the flusher does 30 seconds later. SYNC_FILE_RANGE_WRITE reports no
 * error; another descriptor waits, so that m->fd still has it to report.
 */
static void write_back(const struct mapping *m)
{
	for (int pass = 0; pass < 2; pass++) {
		int fd, calls = PAGES + 1;

		while (calls-- && sync_file_range(m->fd, 0, 0, SYNC_FILE_RANGE_WRITE))
			;	/* it ends at the first page that fails */
		fd = opened(m);
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE);
		close(fd);
	}
}
""",
    ),
    "grow": Snippet(
        ("grow(&m);",),
        r"""
/* Extend the file to the end of the mapping. */
static void grow(const struct mapping *m)
{
	long size = (long)(m->first + m->pages) * PAGE;

	must(state->size[m->file] >= size || !ftruncate(m->fd, size), "ftruncate");
	state->size[m->file] = size;
}
""",
    ),
    "mprotect": Snippet(
        (
            'must(!mprotect(m.address, m.bytes, PROT_READ), "mprotect");',
            'must(!mprotect(m.address, m.bytes, PROT_READ | PROT_WRITE), "mprotect");',
        )
    ),
    "mremap": Snippet(
        ("move(&m);",),
        r"""
static void move(struct mapping *m)
{
	char *place = mmap(NULL, m->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *moved = mremap(m->address, m->bytes, m->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);

	if (moved != MAP_FAILED)
		m->address = moved;
}
""",
    ),
    "fork": Snippet(
        ("fork_and_wait();",),
        r"""
/* A child inherits the mapping, not its lock, and exits. */
static void fork_and_wait(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(FINE);
	must(waitpid(pid, NULL, 0) == pid, "fork");
}
""",
    ),
    "munlock": Snippet(("munlock(m.address, m.bytes);",)),
    "relock": Snippet(("munlock(m.address, m.bytes);", _MLOCK)),
    "dontneed": Snippet(("madvise(m.address, m.bytes, MADV_DONTNEED);",)),
    "pageout": Snippet(("madvise(m.address, m.bytes, 21 /* MADV_PAGEOUT */);",)),
    "reopen": Snippet(("munmap(m.address, m.bytes);", "close(m.fd);", "close(m.other_fd);", "@OPEN@", "@PIN@")),
}

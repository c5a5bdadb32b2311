"""The C that every exported program has: the record of what was promised, stores, syncs, fill, and the check.

The program is given one step at a time by a shell script, which does what needs mkfs, mount and dmsetup in between.
What was promised is kept in a state file off the filesystem under test, so that it outlives workers and remounts. The
rule of `check` is that of verify.oracle, byte by byte. `@NAME@` is filled in by `torture.export.program`.
"""

HEAD = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE	@PAGE@		/* bytes */
#define WORDS	16		/* bytes of the pattern, which is text */
#define PAGES	@PAGES@		/* of the largest file */
#define STORES	@STORES@		/* the most that any page gets */
#define WORKERS	@WORKERS@
#define FILES	@FILES@
#define NOBODY	65534		/* root could use blocks kept back for it */
#define PATIENCE 100		/* seconds until a step counts as stuck */

/* Exit status. */
enum { FINE = 0, BROKEN = 1, CANNOT_RUN = 2 };

/* After a crash, what no sync vouched for may be lost. */
static const bool crashes = @CRASHES@;
/* Whether a loss that only the sync reported is what this program is for. */
static const bool late_counts = @LATE@;

/*
 * A file and what is in it before anybody maps it: the pattern with generation
 * 0 in the first `written` bytes, or in every other `stride` pages, else zeros.
 */
static const struct file {
	const char *name;
	int number;		/* in the pattern; a clone has its origin's */
	int pages;
	long size, written;
	int stride;
	bool stored;		/* whether anybody may store to it */
} files[FILES] = {
@TABLE@
};

/* What was promised. It lies off the filesystem under test. */
static struct state {
	pid_t pid[WORKERS];
	volatile bool at_gate[WORKERS], done[WORKERS];
	volatile bool open, cut;
	long size[FILES];
	struct page {
		int stores;
		struct store {
			int lo, hi;		/* bytes of the page */
			bool accepted;		/* the store did not fault */
			bool synced;		/* a sync after it returned 0 */
			bool told;		/* a sync after it failed */
		} store[STORES];	/* store[0] makes generation 1 */
	} page[FILES][PAGES];
} *state;

static void must(bool done, const char *what)
{
	if (done)
		return;
	fprintf(stderr, "could not run: %s: %s\n", what, strerror(errno));
	exit(CANNOT_RUN);
}

static void pause_ms(long milliseconds)
{
	struct timespec time = { 0, milliseconds * 1000000 };

	nanosleep(&time, NULL);
}

/* One page of text that says whose it is: file, page, generation. */
static void pattern(char *content, int file, int page, int generation)
{
	char text[64];

	snprintf(text, sizeof(text), "F%02dP%06dG%04d\n", file % 100, page % 1000000, generation % 10000);
	for (int at = 0; at < PAGE; at += WORDS)
		memcpy(content + at, text, WORDS);
}

/* What a page held before the first store. */
static void base(char *content, const struct file *file, int page)
{
	long left = file->written - (long)page * PAGE;
	bool whole = file->stride && page / file->stride % 2;

	pattern(content, file->number, page, 0);
	if (whole || left >= PAGE)
		return;
	if (left < 0)
		left = 0;
	memset(content + left, 0, PAGE - left);
}
"""

LAY_OUT = r"""
static int create(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0666);

	must(fd >= 0 && !fchmod(fd, 0666), name);
	return fd;
}

static void finish(int fd)
{
	must(!fsync(fd) && !close(fd), "fsync");
}
"""

WRITE_BASE = r"""
/* Write what the table says is written. */
static void write_base(int fd, const struct file *file)
{
	char content[PAGE];

	for (int page = 0; page < file->pages; page++) {
		long left = file->size - (long)page * PAGE;
		size_t bytes = left < PAGE ? left : PAGE;

		base(content, file, page);
		if (left > 0 && content[0])
			must(pwrite(fd, content, bytes, (long)page * PAGE) == (ssize_t)bytes, file->name);
	}
}
"""

WRITE_STALE = r"""
/* Written once, and about to be zeroed. */
static void write_stale(int fd, const struct file *file)
{
	char content[PAGE];

	memset(content, 0x5a, sizeof(content));
	for (int page = 0; page < file->pages; page++)
		must(pwrite(fd, content, PAGE, (off_t)page * PAGE) == PAGE, file->name);
	must(!fsync(fd), file->name);
}
"""

FILL = r"""
static bool full(void)
{
	must(errno == ENOSPC || errno == EDQUOT, "fill");
	return true;
}

/*
 * Leave `blocks` blocks free: they are held by a file of their own, which is
 * removed when all others are taken.
 */
static void fill(int blocks)
{
	static const size_t steps[] = { 1 << 20, 1 << 16, 1 << 12 };
	static char content[1 << 20];
	struct statvfs view;
	int kept, bulk, tail, directory;
	off_t want;

	memset(content, 0xa5, sizeof(content));
	must(!mkdir("../ballast", 0700) && !statvfs(".", &view), "mkdir ballast");
	kept = open("../ballast/kept-free", O_WRONLY | O_CREAT, 0600);
	for (int block = 0; block < blocks; block++)
		must(write(kept, content, view.f_bsize) == (ssize_t)view.f_bsize, "write kept-free");
	finish(kept);

	bulk = open("../ballast/bulk", O_WRONLY | O_CREAT, 0600);
	want = (off_t)view.f_bavail * view.f_frsize - (8 << 20);
	while (want > 4 << 20 && fallocate(bulk, 0, 0, want)) {
		if (errno == EOPNOTSUPP)
			break;
		full();
		must(!ftruncate(bulk, 0), "ftruncate");
		want -= want / 8;
	}
	finish(bulk);

	tail = open("../ballast/tail", O_WRONLY | O_CREAT | O_APPEND, 0600);
	for (int step = 0; step < 3; step++) {
		for (int refused = 0; refused < 2;) {
			if (write(tail, content, steps[step]) <= 0)
				refused += full();
			/* Delayed allocation answers only now. */
			if ((step || refused) && fdatasync(tail))
				refused += full();
		}
	}
	close(tail);

	directory = open("../ballast", O_RDONLY | O_DIRECTORY);
	must(!unlink("../ballast/kept-free") && !fsync(directory), "remove kept-free");
	close(directory);
}
"""

WORK = r"""
/* Pages first .. first + pages of a file, mapped by one worker. */
struct mapping {
	int worker, file, fd, other_fd, first, pages;
	size_t bytes;
	char *address;
};

static int opened(const struct mapping *m)
{
	int fd = open(files[m->file].name, O_RDWR);

	must(fd >= 0, files[m->file].name);
	return fd;
}

static void map(struct mapping *m, int flags)
{
	m->bytes = (size_t)m->pages * PAGE;
	m->address = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | flags, m->fd, (off_t)m->first * PAGE);
	must(m->address != MAP_FAILED, "mmap");
}

static sigjmp_buf refused;

static void on_sigbus(int number)
{
	(void)number;
	siglongjmp(refused, 1);
}
"""

STORE = r"""
/*
 * Store the next generation into bytes lo .. hi of each page, and remember
 * which pages took it. A store that faults promises nothing.
 */
static void store(struct mapping *m, int first, int pages, put_function put, int lo, int hi)
{
	static char content[PAGE];

	for (int number = first; number < first + pages; number++) {
		struct page *page = &state->page[m->file][number];
		struct store *store = &page->store[page->stores++];

		store->lo = lo;
		store->hi = hi;
		pattern(content, files[m->file].number, number, page->stores);
		store->accepted = put(m->address + (long)(number - m->first) * PAGE + lo, content + lo, hi - lo);
	}
}
"""

SYNC = r"""
static bool covered[FILES][PAGES][STORES];

/* Before a sync: what it covers is what was accepted by now. */
static void cover(int first_file, int files_covered, int first, int pages)
{
	memset(covered, 0, sizeof(covered));
	for (int file = first_file; file < first_file + files_covered; file++)
		for (int page = first; page < first + pages; page++)
			for (int g = 0; g < state->page[file][page].stores; g++)
				covered[file][page][g] = state->page[file][page].store[g].accepted;
}

/*
 * After a sync: 0 vouches for all that it covered, an error tells of its loss,
 * and no later sync can take that back. A sync that ends after the power was
 * cut proves nothing.
 */
static void answer(int failed)
{
	bool too_late = state->cut;

	for (int file = 0; file < FILES; file++)
		for (int page = 0; page < PAGES; page++)
			for (int g = 0; g < STORES; g++) {
				struct store *store = &state->page[file][page].store[g];

				if (!covered[file][page][g])
					continue;
				if (failed && !store->synced)
					store->told = true;
				if (!failed && !store->told && !too_late)
					store->synced = true;
			}
}
"""

GATE = r"""
/* Wait until the fault has struck. */
static void gate(const struct mapping *m)
{
	state->at_gate[m->worker] = true;
	while (!state->open)
		pause_ms(5);
}
"""

RUN = r"""
static void (*const workers[WORKERS])(void) = { @WORKER_NAMES@ };

static void be_worker(int number)
{
	struct rlimit limit = { @MEMLOCK@, @MEMLOCK@ };

	must(!setrlimit(RLIMIT_MEMLOCK, &limit), "setrlimit");
	must(!setgroups(0, NULL) && !setgid(NOBODY) && !setuid(NOBODY), "setuid");
	prctl(PR_SET_DUMPABLE, 1);	/* or /proc/self/mem stays root's */
	signal(SIGBUS, on_sigbus);
	workers[number]();
	state->done[number] = true;
	for (;;)
		pause();	/* mapped and pinned until the step `end` */
}

/* Until every worker is done, or stands at its gate. */
static void wait_for_workers(bool gate_counts)
{
	for (int waited = 0; waited < PATIENCE * 100; waited++) {
		int ready = 0;

		for (int number = 0; number < WORKERS; number++)
			ready += state->done[number] || (gate_counts && state->at_gate[number]);
		if (ready == WORKERS)
			return;
		errno = ECHILD;
		must(waitpid(-1, NULL, WNOHANG) <= 0, "a worker died");
		pause_ms(10);
	}
	errno = ETIMEDOUT;
	must(false, "workers");
}

static void work(void)
{
	for (int number = 0; number < WORKERS; number++) {
		pid_t pid = fork();

		must(pid >= 0, "fork");
		if (!pid)
			be_worker(number);
		state->pid[number] = pid;
	}
	wait_for_workers(true);
}

/* Kill the workers; when this returns, their mappings are gone. */
static void end(void)
{
	for (int number = 0; number < WORKERS; number++) {
		int fd = state->pid[number] ? syscall(SYS_pidfd_open, state->pid[number], 0) : -1;
		struct pollfd exit = { fd, POLLIN, 0 };

		if (fd < 0)
			continue;
		kill(state->pid[number], SIGKILL);
		must(poll(&exit, 1, PATIENCE * 1000) == 1, "kill");
		close(fd);
	}
}
"""

CHECK = r"""
/*
 * Judge one byte. Without a crash it must be what was stored last; after one,
 * anything from the last generation that a sync vouched for. A store that
 * faulted may have arrived or not.
 */
static int judge(const struct page *page, int at, char content[][PAGE], char found)
{
	int accepted = 0, synced = 0;
	bool told = false;

	for (int g = 1; g <= page->stores; g++) {
		const struct store *store = &page->store[g - 1];

		if (at < store->lo || at >= store->hi)
			continue;
		if (store->accepted)
			accepted = g;
		if (store->synced) {
			synced = g;
			told = false;
		}
		told |= store->told;
	}
	for (int g = page->stores; g >= synced; g--) {
		bool stored_here = !g || (at >= page->store[g - 1].lo && at < page->store[g - 1].hi);

		if (!stored_here || content[g][at] != found)
			continue;
		if (crashes || g >= accepted)
			return FINE;
		return told && !late_counts ? FINE : BROKEN;
	}
	return BROKEN;
}

static void show(const char *what, const char *text)
{
	printf("  %s ", what);
	for (int at = 0; at < WORDS; at++)
		printf("%02x", (unsigned char)text[at]);
	printf("  \"");
	for (int at = 0; at < WORDS; at++)
		putchar(text[at] >= ' ' && text[at] <= '~' ? text[at] : '.');
	printf("\"\n");
}

static int check_page(int file, int number, const char *found, int bytes)
{
	static char content[STORES + 1][PAGE];
	const struct page *page = &state->page[file][number];
	int last = 0;

	base(content[0], &files[file], number);
	for (int g = 1; g <= page->stores; g++) {
		pattern(content[g], files[file].number, number, g);
		if (page->store[g - 1].accepted)
			last = g;
	}
	for (int at = 0; at < bytes; at++) {
		if (judge(page, at, content, found[at]) == FINE)
			continue;
		printf("%s page %d byte %d is wrong\n", files[file].name, number, at);
		show("expected", content[last] + at / WORDS * WORDS);
		show("found   ", found + at / WORDS * WORDS);
		return BROKEN;
	}
	return FINE;
}

static int check_file(int file)
{
	char found[PAGE];
	int broken = FINE, fd = open(files[file].name, O_RDONLY);
	long size = state->size[file];
	struct stat now;

	if (fd < 0 || fstat(fd, &now)) {
		printf("%s cannot be opened: %s\n", files[file].name, strerror(errno));
		return BROKEN;
	}
	if (now.st_size < size && !(crashes && now.st_size >= files[file].size)) {
		printf("%s has %ld bytes instead of %ld\n", files[file].name, (long)now.st_size, size);
		broken = BROKEN;
	}
	for (int page = 0; (long)page * PAGE < size; page++) {
		ssize_t bytes = pread(fd, found, PAGE, (off_t)page * PAGE);

		if (bytes < 0)
			printf("%s page %d cannot be read: %s\n", files[file].name, page, strerror(errno));
		broken |= bytes < 0 ? BROKEN : check_page(file, page, found, bytes);
	}
	close(fd);
	return broken;
}

static int check(void)
{
	int broken = FINE;

	for (int file = 0; file < FILES; file++)
		broken |= check_file(file);
	return broken;
}
"""

MAIN = r"""
static void use_state(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT, 0600);

	must(fd >= 0 && !ftruncate(fd, sizeof(*state)), name);
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(state != MAP_FAILED, name);
	close(fd);
}

int main(int count, char **words)
{
	const char *step = count > 2 ? words[1] : "";

	if (count < 3) {
		fprintf(stderr, "usage: %s STEP STATE [DIRECTORY]; @USED_BY@\n", words[0]);
		return CANNOT_RUN;
	}
	use_state(words[2]);
	if (count > 3)
		must(!chdir(words[3]), words[3]);
	if (!strcmp(step, "lay-out"))
		lay_out();
	else if (!strcmp(step, "work"))
		work();
	else if (!strcmp(step, "cut"))
		state->cut = true;
	else if (!strcmp(step, "release")) {
		state->open = true;
		wait_for_workers(false);
	} else if (!strcmp(step, "end"))
		end();
	else if (!strcmp(step, "check"))
		return check();
	else
		return CANNOT_RUN;
	return FINE;
}
"""

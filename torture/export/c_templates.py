"""The C that every exported program begins with: the record of what was promised, the layout of files, and the fill.

The program is given one step at a time by a shell script, which does what needs mkfs, mount and dmsetup in between.
What was promised is kept in a state file off the filesystem under test, so that it outlives workers and remounts.
`c_templates_workers` and `c_templates_check` follow. `@NAME@` is filled in by `torture.export.program`.
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
#include <stdint.h>
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
			bool reported;		/* a sync after it failed */
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

REPLAY = r"""
/* The log of dm-log-writes, in the format of drivers/md/dm-log-writes.c. */
struct entry { uint64_t sector, sectors, flags, bytes; };
enum { DISCARD = 4, MARK = 8 };

static void put_back(int from, int to, off_t at, off_t where, off_t left, bool zeros)
{
	static char block[1 << 20];

	while (left) {
		size_t want = left < (off_t)sizeof(block) ? (size_t)left : sizeof(block);

		must(pread(from, block, want, at) == (ssize_t)want, "read the log");
		if (zeros)
			memset(block, 0, want);
		must(pwrite(to, block, want, where) == (ssize_t)want, "write the disk");
		at += want;
		where += want;
		left -= want;
	}
}

/*
 * Make of `device` what a crash at the mark would have left. A write is in the
 * log when a flush after it is complete, or, with FUA, when it is itself. What
 * was written after the mark is wiped, then all before it is written again.
 */
static void replay(const char *log, const char *device)
{
	struct { uint64_t magic, version, entries; uint32_t sector; } head;
	int from = open(log, O_RDONLY), to = open(device, O_RDWR);
	bool marked = false;

	must(from >= 0 && to >= 0 && !ioctl(from, BLKFLSBUF, 0), "open the log");
	must(pread(from, &head, sizeof(head), 0) == sizeof(head) && head.magic == 0x6a736677736872, "read the log");
	for (int pass = 0; pass < 2; pass++) {
		off_t at = head.sector;

		marked = false;
		for (uint64_t number = 0; number < head.entries; number++) {
			struct entry entry;
			off_t bytes;

			must(pread(from, &entry, sizeof(entry), at) == sizeof(entry), "read the log");
			at += head.sector;
			if (entry.flags & MARK)
				marked = true;
			if (entry.flags & (MARK | DISCARD))
				continue;	/* without data */
			bytes = entry.sectors * head.sector;
			if (marked == !pass)
				put_back(from, to, at, entry.sector * head.sector, bytes, !pass);
			at += bytes;
		}
	}
	errno = ENODATA;
	must(marked, "find the mark: is the log too small?");
	finish(to);
}
"""

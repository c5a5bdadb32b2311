"""The C of the workers that every exported program has: mappings, stores, syncs, and the step that runs them.

`c_templates` has the state that they keep; `@NAME@` is filled in by `torture.export.program`.
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
					store->reported = true;
				if (!failed && !store->reported && !too_late)
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

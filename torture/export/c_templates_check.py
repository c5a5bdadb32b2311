"""The C of the last step of every exported program, the check, and of its main function.

The rule is that of verify.oracle, byte by byte; `@NAME@` is filled in by `torture.export.program`.
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
	bool reported = false;

	for (int g = 1; g <= page->stores; g++) {
		const struct store *store = &page->store[g - 1];

		if (at < store->lo || at >= store->hi)
			continue;
		if (store->accepted)
			accepted = g;
		if (store->synced) {
			synced = g;
			reported = false;
		}
		reported |= store->reported;
	}
	for (int g = page->stores; g >= synced; g--) {
		bool stored_here = !g || (at >= page->store[g - 1].lo && at < page->store[g - 1].hi);

		if (!stored_here || content[g][at] != found)
			continue;
		if (crashes || g >= accepted)
			return FINE;
		return reported && !late_counts ? FINE : BROKEN;
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
@REPLAY@	if (count > 3)
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

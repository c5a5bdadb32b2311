/*
 * User-mode stores into a shared file mapping that survive the SIGBUS of a page whose fault fails.
 *
 * A failed ->page_mkwrite or ->fault (ENOSPC, EDQUOT, EIO, a page past EOF) raises SIGBUS at the storing instruction
 * (do_sigbus() in arch/x86/mm/fault.c). The process must not die of it: the signal ends the store of that one page,
 * which is reported with si_code and si_addr (sigaction(2)), and the store goes on with the next page.
 *
 * Each store() pushes a trap on a stack of its own thread. The handler jumps to the innermost trap only if the kernel
 * raised the signal for an address inside the page that this trap is copying; every other SIGBUS goes to whatever was
 * installed before us, so that it kills, or is handled, as if this module did not exist. SA_NODEFER keeps SIGBUS
 * deliverable while such an earlier handler runs, since that may store through a trap of its own.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

struct trap {
	sigjmp_buf resume;
	struct trap *outer;
	char *volatile start;	/* of the page being copied: si_addr may be rounded down to it (s390) */
	char *volatile end;
	volatile int code;
	char *volatile address;
};

struct fault {
	Py_ssize_t page;
	int code;
	char *address;
};

struct copy {
	char *to;
	const char *from;
	Py_ssize_t page_bytes, pages, lo, hi;
};

/* initial-exec: a lazily allocated thread-local would call malloc() in the signal handler. */
static __thread struct trap *innermost __attribute__((tls_model("initial-exec")));
static struct sigaction previous;
static pthread_once_t installed = PTHREAD_ONCE_INIT;

/* True for a signal that comes again when its handler returns, false for one that some process sent. */
static int raised_by_access(const siginfo_t *signal)
{
	return signal->si_code > 0 && signal->si_code != BUS_MCEERR_AO;
}

static void pass_on(int number, siginfo_t *signal, void *context)
{
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(number, signal, context);
	} else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(number);
	} else if (raised_by_access(signal)) {
		sigaction(number, &previous, NULL);
	} else if (previous.sa_handler == SIG_DFL) {
		sigaction(number, &previous, NULL);
		raise(number);
	}
}

static void on_sigbus(int number, siginfo_t *signal, void *context)
{
	struct trap *trap = innermost;
	char *address = signal->si_addr;

	if (trap && raised_by_access(signal) && address >= trap->start && address < trap->end) {
		trap->code = signal->si_code;
		trap->address = address;
		siglongjmp(trap->resume, 1);
	}
	pass_on(number, signal, context);
}

static void install(void)
{
	struct sigaction ours = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&ours.sa_mask);
	sigaction(SIGBUS, &ours, &previous);
}

/* Copies bytes [lo, hi) of every page; returns how many pages faulted, described in faults[]. */
static Py_ssize_t copy_trapped(const struct copy *copy, struct fault *faults)
{
	struct trap trap = { .outer = innermost };
	volatile Py_ssize_t page = 0, faulted = 0;

	if (sigsetjmp(trap.resume, 1)) {
		faults[faulted] = (struct fault){ page, trap.code, trap.address };
		faulted++;
		page++;
	}
	innermost = &trap;
	for (; page < copy->pages; page++) {
		Py_ssize_t offset = page * copy->page_bytes;

		trap.start = copy->to + offset;
		trap.end = trap.start + copy->page_bytes;
		atomic_signal_fence(memory_order_seq_cst);
		memcpy(copy->to + offset + copy->lo, copy->from + offset + copy->lo, copy->hi - copy->lo);
		atomic_signal_fence(memory_order_seq_cst);
	}
	innermost = trap.outer;
	return faulted;
}

static PyObject *described(const struct fault *faults, Py_ssize_t count)
{
	PyObject *list = PyList_New(0);

	for (Py_ssize_t i = 0; list && i < count; i++) {
		PyObject *fault = Py_BuildValue("(niK)", faults[i].page, faults[i].code,
						(unsigned long long)(uintptr_t)faults[i].address);

		if (!fault || PyList_Append(list, fault) < 0)
			Py_CLEAR(list);
		Py_XDECREF(fault);
	}
	return list;
}

static PyObject *run(const struct copy *copy)
{
	struct fault *faults = PyMem_Malloc((copy->pages ? copy->pages : 1) * sizeof *faults);
	Py_ssize_t faulted;
	PyObject *list;

	if (!faults)
		return PyErr_NoMemory();
	Py_BEGIN_ALLOW_THREADS
	pthread_once(&installed, install);
	faulted = copy_trapped(copy, faults);
	Py_END_ALLOW_THREADS
	list = described(faults, faulted);
	PyMem_Free(faults);
	return list;
}

static int fits(const struct copy *copy, Py_ssize_t first_page, Py_ssize_t to_bytes, Py_ssize_t from_bytes)
{
	return copy->page_bytes > 0 && copy->pages >= 0 && first_page >= 0 &&
	       first_page <= to_bytes / copy->page_bytes &&
	       copy->pages <= to_bytes / copy->page_bytes - first_page &&
	       copy->pages <= from_bytes / copy->page_bytes &&
	       copy->lo >= 0 && copy->lo <= copy->hi && copy->hi <= copy->page_bytes;
}

static PyObject *store(PyObject *Py_UNUSED(module), PyObject *args)
{
	Py_buffer to, from;
	struct copy copy;
	Py_ssize_t first_page;
	PyObject *faults = NULL;

	if (!PyArg_ParseTuple(args, "w*y*nnnnn", &to, &from, &copy.page_bytes, &first_page, &copy.pages,
			      &copy.lo, &copy.hi))
		return NULL;
	if (fits(&copy, first_page, to.len, from.len)) {
		copy.to = (char *)to.buf + first_page * copy.page_bytes;
		copy.from = from.buf;
		faults = run(&copy);
	} else {
		PyErr_SetString(PyExc_ValueError, "store outside of its buffers or pages");
	}
	PyBuffer_Release(&to);
	PyBuffer_Release(&from);
	return faults;
}

static PyMethodDef methods[] = {
	{ "store", store, METH_VARARGS,
	  "store(mapping, content, page_bytes, first_page, pages, lo, hi) -> [(page, si_code, address)]\n\n"
	  "Copy bytes [lo, hi) of each of `pages` pages of content to mapping, from its page first_page on.\n"
	  "Returns the pages (counted from 0 at first_page) whose copy SIGBUS ended." },
	{ 0 },
};

static PyModuleDef_Slot slots[] = { { 0, NULL } };

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "workloads._access",
	.m_doc = "User-mode stores that trap SIGBUS page by page.",
	.m_methods = methods,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__access(void)
{
	return PyModuleDef_Init(&definition);
}

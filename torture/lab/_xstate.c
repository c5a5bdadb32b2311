/*
 * Lets User-mode Linux run on hosts whose XSAVE area is larger than the one it was compiled for.
 *
 * UML (arch/x86/um/os-Linux/registers.c, 6.1) saves and restores a process's vector registers with
 * PTRACE_GETREGSET/SETREGSET NT_X86_XSTATE and a buffer of HOST_FP_SIZE bytes (room for AVX-512 and PKRU). The host
 * reads into a short buffer happily but refuses to write from one: "A whole standard-format XSAVE buffer is needed"
 * (xstateregs_set() in arch/x86/kernel/fpu/regset.c), EFAULT. With AMX (Sapphire Rapids on) the area is
 * 11008 bytes, and every such UML dies at boot: "ptrace set fp regs failed, errno = 14".
 *
 * This object is preloaded (LD_PRELOAD) into the UML binary and completes a short buffer with the initial state of the
 * components that it does not hold, by clearing their bits in XSTATE_BV. UML's processes cannot have used them:
 * the AMX tiles need a permission (arch_prctl ARCH_REQ_XCOMP_PERM) that UML does not pass on.
 * On a host whose area fits, every call passes through unchanged.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NOTE_X86_XSTATE 0x202
#define XSTATE_BV_OFFSET 512	/* first word of the XSAVE header, Intel SDM volume 1, 13.4.2 */
#define AMX_TILES ((UINT64_C(1) << 17) | (UINT64_C(1) << 18))
#define AREA_BYTES 65536

static __thread unsigned char area[AREA_BYTES] __attribute__((aligned(64)));
static size_t host_bytes;

static long raw(long request, pid_t pid, void *address, void *argument)
{
	return syscall(SYS_ptrace, request, pid, address, argument);
}

static size_t host_area_bytes(pid_t pid)
{
	if (!host_bytes) {
		struct iovec whole = { area, sizeof area };

		if (raw(PTRACE_GETREGSET, pid, (void *)NOTE_X86_XSTATE, &whole) == 0)
			host_bytes = whole.iov_len;
	}
	return host_bytes;
}

static long set_xstate(pid_t pid, const struct iovec *given)
{
	size_t need = host_area_bytes(pid);
	struct iovec whole = { area, need };
	uint64_t components;

	if (given->iov_len >= need)
		return raw(PTRACE_SETREGSET, pid, (void *)NOTE_X86_XSTATE, (void *)given);
	memcpy(area, given->iov_base, given->iov_len);
	memset(area + given->iov_len, 0, need - given->iov_len);
	memcpy(&components, area + XSTATE_BV_OFFSET, sizeof components);
	components &= ~AMX_TILES;
	memcpy(area + XSTATE_BV_OFFSET, &components, sizeof components);
	return raw(PTRACE_SETREGSET, pid, (void *)NOTE_X86_XSTATE, &whole);
}

__attribute__((visibility("default"))) long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	pid_t pid;
	void *address, *argument;
	long word, result;

	va_start(arguments, request);
	pid = va_arg(arguments, pid_t);
	address = va_arg(arguments, void *);
	argument = va_arg(arguments, void *);
	va_end(arguments);

	if (request == PTRACE_SETREGSET && (uintptr_t)address == NOTE_X86_XSTATE)
		return set_xstate(pid, argument);
	if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
		return raw(request, pid, address, argument);
	result = raw(request, pid, address, &word);	/* the system call stores what the library call returns */
	if (result == 0) {
		errno = 0;
		return word;
	}
	return result;
}

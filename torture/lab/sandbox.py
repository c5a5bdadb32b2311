"""The wall around a guest: what the process that makes it may do to this machine. It stands between fork and exec.

A guest's kernel is an ordinary program here (User-mode Linux, qemu), and what runs on it may break out of it. So the
program is started through this module, run as a program of its own (`command`), since nothing but exec is safe between
fork and exec in a process with threads. It becomes the user that it is told, keeps no capability, gains no privileges
any more, has Landlock let it write where it is told and nowhere else, says what holds, and becomes the command.

Sources: landlock(7), Documentation/userspace-api/landlock.rst, include/uapi/linux/landlock.h; capabilities(7) for the
one capability that may stay, and for the bits that keep it (SECBIT_NO_SETUID_FIXUP, which access(2) looks at too);
Documentation/userspace-api/no_new_privs.rst.
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

SYS_CREATE_RULESET, SYS_ADD_RULE, SYS_RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH, CREATE_RULESET_VERSION = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
FILES_BY_ABI = {1: REFER - 1, 2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
"""What a ruleset of this ABI and later may forbid, each beside what the ones before may."""
TCP, TCP_SINCE_ABI = 0b11, 4
SIGNALS_AND_ABSTRACT_SOCKETS, SCOPES_SINCE_ABI = 0b11, 6

READ = EXECUTE | READ_FILE | READ_DIR
KEEP_FILES = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | REFER | TRUNCATE
"""In a directory of its own. No symlinks and no devices: what reads it afterwards could be led astray by them."""
USE_DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""All that can be allowed of what is no directory."""
_HARMLESS = {"/dev/null": READ_FILE | WRITE_FILE, **dict.fromkeys(("/dev/zero", "/dev/urandom", "/dev/random"), READ_FILE)}

PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 24, 28, 38, 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_READ_SEARCH, CAP_SETPCAP = 2, 8
CAPABILITY_VERSION_3 = 0x20080522
EXIT_NOT_CONFINED = 126

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    """struct landlock_path_beneath_attr, which is packed."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a command may do.

    `own`: directories in which it may make, change and remove files. `files`: files and devices that it may read and
    change. `programs`: what it must be able to read wherever that lies; besides these, and everything but /dev. `user`:
    its uid and gid, None to stay who starts it; `groups`: further ones. `environment`: variables that only the command
    gets, such as LD_PRELOAD.
    """

    own: Sequence[str] = ()
    files: Sequence[str] = ()
    programs: Sequence[str] = ()
    user: int | None = None
    groups: Sequence[int] = ()
    environment: Sequence[tuple[str, str]] = ()


def command(confinement: Confinement, argv: Sequence[str]) -> list[str]:
    """`argv` in a form that confines itself first. It exits with EXIT_NOT_CONFINED, and says why, if it cannot."""
    return [sys.executable, "-I", "-S", __file__, json.dumps(asdict(confinement)), *argv]


def landlock_abi() -> int:
    """The version of Landlock that this kernel has, 0 if it has none or was booted without it."""
    return max(0, int(_libc.syscall(SYS_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(CREATE_RULESET_VERSION))))


def what_holds() -> str:
    """For the doctor: what stands between a guest that breaks out and this machine."""
    abi, root = landlock_abi(), os.geteuid() == 0
    user = "as a user of their own, without capabilities" if root else f"as user {os.geteuid()}"
    if abi:
        return f"guests run {user}, write to their own scratch files only (Landlock {abi}), and gain no privileges"
    open_to_all = "they may write to whatever everybody may" if root else "they may write to all files of that user"
    missing = "this kernel has no Landlock (CONFIG_SECURITY_LANDLOCK, lsm=landlock)"
    return f"guests run {user}, and gain no privileges; {missing}, so {open_to_all}"


def is_mapped(user: int) -> bool:
    """Whether the user namespace of this process has that uid and gid (user_namespaces(7)); a container may not."""
    return all(_in_map(Path(f"/proc/self/{name}").read_text(), user) for name in ("uid_map", "gid_map"))


def _in_map(text: str, number: int) -> bool:
    spans = (tuple(map(int, line.split())) for line in text.splitlines())
    return any(first <= number < first + count for first, _, count in spans)


def confine(wanted: Confinement) -> str:
    """Confine this process for good; returns what holds, in words. Raises OSError if a part of it cannot be done."""
    abi = landlock_abi()
    ruleset = _ruleset(wanted, abi) if abi else -1  # before the change of user, which may not enter these directories
    kept = _change_user(wanted) if os.geteuid() == 0 else ""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    if abi:
        _check(_libc.syscall(SYS_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)))
        os.close(ruleset)
    wall = f"Landlock {abi}" if abi else "NO Landlock on this kernel"
    return f"user {os.geteuid()}, capabilities: {kept or 'none'}, no new privileges, {wall}"


# -- landlock ----------------------------------------------------------------------------------------------------------


def _ruleset(wanted: Confinement, abi: int) -> int:
    """The descriptor of a ruleset of all that this ABI can forbid, with rules for what is wanted."""
    files = sum(rights for since, rights in FILES_BY_ABI.items() if abi >= since)
    known = _Ruleset(
        files,
        TCP if abi >= TCP_SINCE_ABI else 0,
        SIGNALS_AND_ABSTRACT_SOCKETS if abi >= SCOPES_SINCE_ABI else 0,
    )
    size = ctypes.c_size_t(8 if abi < TCP_SINCE_ABI else 16 if abi < SCOPES_SINCE_ABI else ctypes.sizeof(known))
    ruleset = _check(_libc.syscall(SYS_CREATE_RULESET, ctypes.byref(known), size, ctypes.c_uint32(0)))
    for path, rights in _rules_of_all(wanted):
        with suppress(FileNotFoundError):  # a link that leads nowhere, a program that is not installed
            _allow(ruleset, path, rights & files)
    for path in wanted.files:
        _allow(ruleset, path, USE_DEVICE & files)
    for path in wanted.own:
        _allow(ruleset, path, KEEP_FILES & files)
    return ruleset


def _rules_of_all(wanted: Confinement) -> Iterable[tuple[str, int]]:
    """Paths that every guest may read. Of /dev only what cannot tell or change anything: with the capability to read all
    files, a disk could be read there."""
    yield "/", READ_DIR
    yield from ((entry.path, READ) for entry in os.scandir("/") if entry.name != "dev")
    yield from _HARMLESS.items()
    yield from ((path, READ) for path in wanted.programs)


def _allow(ruleset: int, path: str, rights: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_FILES
        rule = _PathBeneath(rights, parent)
        arguments = (ctypes.c_int(ruleset), ctypes.c_int(RULE_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
        _check(_libc.syscall(SYS_ADD_RULE, *arguments))
    finally:
        os.close(parent)


# -- user and capabilities ---------------------------------------------------------------------------------------------


def _change_user(wanted: Confinement) -> str:
    """Become the user; returns the name of the capability that stays, "" for none.

    Only where the programs lie in directories that the user may not enter, such as /root, the right to read stays.
    """
    _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups(list(wanted.groups))
    if wanted.user is not None:
        os.setresgid(wanted.user, wanted.user, wanted.user)
        os.setresuid(wanted.user, wanted.user, wanted.user)
    needed = wanted.user is not None and not _may_read(wanted.programs)
    kept = 1 << CAP_DAC_READ_SEARCH if needed else 0
    _set_capabilities(1 << CAP_SETPCAP, kept | 1 << CAP_SETPCAP, 0)
    for capability in range(_last_capability() + 1):
        if not kept >> capability & 1:
            _prctl(PR_CAPBSET_DROP, capability)
    _set_capabilities(kept, kept, kept)
    if kept:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH)
    return "CAP_DAC_READ_SEARCH" if kept else ""


def _may_read(paths: Iterable[str]) -> bool:
    """Whether the user that we are by now may read all of `paths`, without a capability to help."""
    _set_capabilities(0, 1 << CAP_DAC_READ_SEARCH | 1 << CAP_SETPCAP, 0)
    return all(os.access(path, os.R_OK, effective_ids=True) for path in paths)


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def _set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2). There are less than 64: in two halves of 32."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    halves = [word >> shift & 0xFFFFFFFF for shift in (0, 32) for word in (effective, permitted, inheritable)]
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)(*halves)))


def _prctl(option: int, *arguments: int) -> None:
    given = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    _check(_libc.prctl(ctypes.c_int(option), *given))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def main() -> None:
    """Entry point: the Confinement as JSON, then the command."""
    wanted, argv = Confinement(**json.loads(sys.argv[1])), sys.argv[2:]
    try:
        print(f"torture: confined: {confine(wanted)}", file=sys.stderr, flush=True)
        os.execvpe(argv[0], argv, {**os.environ, **dict(wanted.environment)})
    except OSError as error:
        print(f"torture: cannot start {argv[0]} confined: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_NOT_CONFINED)


if __name__ == "__main__":
    main()

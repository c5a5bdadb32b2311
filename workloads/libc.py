"""The one door to libc: system calls on mappings and files that Python's mmap and os lack.

Addresses and lengths are in bytes. Every function raises OSError with the errno of the call; flags and
constants have the kernel's names (include/uapi). Calls release the GIL. Numbers are those of
asm-generic, which x86 and arm64 use.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Callable

MAP_SHARED = 0x01
MAP_PRIVATE = 0x02
MAP_ANONYMOUS = 0x20
MAP_LOCKED = 0x2000
MAP_POPULATE = 0x8000
PROT_NONE = 0x0
PROT_READ = 0x1
PROT_WRITE = 0x2
MREMAP_MAYMOVE = 1
MREMAP_FIXED = 2
MS_ASYNC = 1
MS_SYNC = 4
MLOCK_ONFAULT = 1
MCL_CURRENT = 1
MCL_FUTURE = 2
MCL_ONFAULT = 4
MADV_DONTNEED = 4
MADV_PAGEOUT = 21
MADV_POPULATE_READ = 22
MADV_POPULATE_WRITE = 23
FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FALLOC_FL_COLLAPSE_RANGE = 0x08
FALLOC_FL_ZERO_RANGE = 0x10
FALLOC_FL_INSERT_RANGE = 0x20
SYNC_FILE_RANGE_WAIT_BEFORE = 1
SYNC_FILE_RANGE_WRITE = 2
SYNC_FILE_RANGE_WAIT_AFTER = 4
FICLONE = 0x40049409
FIFREEZE = 0xC0045877
FITHAW = 0xC0045878
BTRFS_IOC_SNAP_CREATE = 0x50009401
BTRFS_IOC_SUBVOL_CREATE = 0x5000940E
PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
SYS_CACHESTAT = 451

_MAP_FAILED = ctypes.c_void_p(-1).value
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int64,
)
_libc.mremap.restype = ctypes.c_void_p
_libc.process_vm_writev.restype = ctypes.c_ssize_t
_libc.syscall.restype = ctypes.c_long


class _CacheRange(ctypes.Structure):
    """struct cachestat_range, include/uapi/linux/mman.h."""

    _fields_ = (("offset_bytes", ctypes.c_uint64), ("length_bytes", ctypes.c_uint64))


class _Vector(ctypes.Structure):
    """struct iovec, readv(2)."""

    _fields_ = (("base", ctypes.c_void_p), ("length_bytes", ctypes.c_size_t))


class _VolumeArguments(ctypes.Structure):
    """struct btrfs_ioctl_vol_args, include/uapi/linux/btrfs.h."""

    _fields_ = (("descriptor", ctypes.c_int64), ("name", ctypes.c_char * 4088))


class CacheStat(ctypes.Structure):
    """struct cachestat, include/uapi/linux/mman.h: counts of pages."""

    _fields_ = (
        ("nr_cache", ctypes.c_uint64),
        ("nr_dirty", ctypes.c_uint64),
        ("nr_writeback", ctypes.c_uint64),
        ("nr_evicted", ctypes.c_uint64),
        ("nr_recently_evicted", ctypes.c_uint64),
    )
    nr_cache: int
    nr_dirty: int
    nr_writeback: int
    nr_evicted: int
    nr_recently_evicted: int


def mmap(length_bytes: int, prot: int, flags: int, descriptor: int, offset_bytes: int) -> int:
    """Map a file, beyond its end too (Python's mmap refuses that); returns the address. mmap(2)."""
    address = _libc.mmap(None, length_bytes, prot, flags, descriptor, offset_bytes)
    if address == _MAP_FAILED:
        raise _last_error()
    return int(address)


def munmap(address: int, length_bytes: int) -> None:
    """munmap(2)."""
    _check(_libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(length_bytes)))


def mlock(address: int, length_bytes: int) -> None:
    """mlock(2)."""
    _check(_libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(length_bytes)))


def mlock2(address: int, length_bytes: int, flags: int) -> None:
    """mlock2(2)."""
    _check(_libc.mlock2(ctypes.c_void_p(address), ctypes.c_size_t(length_bytes), ctypes.c_uint(flags)))


def munlock(address: int, length_bytes: int) -> None:
    """munlock(2)."""
    _check(_libc.munlock(ctypes.c_void_p(address), ctypes.c_size_t(length_bytes)))


def mlockall(flags: int) -> None:
    """mlockall(2)."""
    _check(_libc.mlockall(ctypes.c_int(flags)))


def madvise(address: int, length_bytes: int, advice: int) -> None:
    """madvise(2)."""
    _check(_libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length_bytes), ctypes.c_int(advice)))


def mprotect(address: int, length_bytes: int, prot: int) -> None:
    """mprotect(2)."""
    _check(_libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(length_bytes), ctypes.c_int(prot)))


def move_mapping(address: int, length_bytes: int) -> int:
    """Move a mapping to another address, which is returned (mremap(2), MREMAP_FIXED onto a reservation)."""
    reserved = mmap(length_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    length, flags = ctypes.c_size_t(length_bytes), ctypes.c_int(MREMAP_MAYMOVE | MREMAP_FIXED)
    moved = _libc.mremap(ctypes.c_void_p(address), length, length, flags, ctypes.c_void_p(reserved))
    if moved == _MAP_FAILED:
        failure = _last_error()
        munmap(reserved, length_bytes)
        raise failure
    return int(moved)


def process_vm_writev(pid: int, content: memoryview, address: int) -> int:
    """Copy writable `content` to an address of a process; returns the bytes copied. process_vm_writev(2)."""
    start = ctypes.addressof(ctypes.c_char.from_buffer(content))
    source, target = _Vector(start, len(content)), _Vector(address, len(content))
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    copied = _libc.process_vm_writev(ctypes.c_int(pid), ctypes.byref(source), one, ctypes.byref(target), one, none)
    _check(copied)
    return int(copied)


def msync(address: int, length_bytes: int, flags: int) -> None:
    """msync(2)."""
    _check(_libc.msync(ctypes.c_void_p(address), ctypes.c_size_t(length_bytes), ctypes.c_int(flags)))


def sync_file_range(descriptor: int, offset_bytes: int, length_bytes: int, flags: int) -> None:
    """sync_file_range(2); length 0 means to the end of the file."""
    offset, length = ctypes.c_int64(offset_bytes), ctypes.c_int64(length_bytes)
    _check(_libc.sync_file_range(ctypes.c_int(descriptor), offset, length, ctypes.c_uint(flags)))


def cachestat(descriptor: int) -> CacheStat:
    """What the page cache holds of a whole file; ENOSYS before Linux 6.5. cachestat(2)."""
    whole, found = _CacheRange(0, 0), CacheStat()
    arguments = (ctypes.c_uint(descriptor), ctypes.byref(whole), ctypes.byref(found), ctypes.c_uint(0))
    _check(_libc.syscall(ctypes.c_long(SYS_CACHESTAT), *arguments))
    return found


def fallocate(descriptor: int, mode: int, offset_bytes: int, length_bytes: int) -> None:
    """fallocate(2) itself: unlike posix_fallocate(3) it never writes zeros instead."""
    offset, length = ctypes.c_int64(offset_bytes), ctypes.c_int64(length_bytes)
    _check(_libc.fallocate(ctypes.c_int(descriptor), ctypes.c_int(mode), offset, length))


def syncfs(descriptor: int) -> None:
    """syncfs(2): write back the whole filesystem that an open file is on."""
    _check(_libc.syncfs(descriptor))


def clone_file(source: int, target: int) -> None:
    """Make the file behind descriptor `target` share all blocks of `source`. ioctl_ficlone(2)."""
    fcntl.ioctl(target, FICLONE, source)


def freeze(descriptor: int) -> None:
    """Freeze the filesystem that an open file is on (FIFREEZE, fs/ioctl.c). Needs CAP_SYS_ADMIN."""
    fcntl.ioctl(descriptor, FIFREEZE, 0)


def thaw(descriptor: int) -> None:
    """Undo `freeze` (FITHAW)."""
    fcntl.ioctl(descriptor, FITHAW, 0)


def create_subvolume(directory: int, name: str) -> None:
    """Make a btrfs subvolume in an open directory (BTRFS_IOC_SUBVOL_CREATE)."""
    fcntl.ioctl(directory, BTRFS_IOC_SUBVOL_CREATE, bytearray(_VolumeArguments(0, name.encode())))


def snapshot_subvolume(subvolume: int, directory: int, name: str) -> None:
    """Make a writable snapshot of an open btrfs subvolume in an open directory (BTRFS_IOC_SNAP_CREATE)."""
    fcntl.ioctl(directory, BTRFS_IOC_SNAP_CREATE, bytearray(_VolumeArguments(subvolume, name.encode())))


def prctl(option: int, argument: int) -> int:
    """prctl(2) for options with at most one argument; returns what the call does."""
    zero = ctypes.c_ulong(0)
    result = _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero)
    _check(result)
    return int(result)


def errno_of(call: Callable[[], None]) -> int:
    """The errno with which a call fails, 0 if it does not: for callers to whom failure is an observation."""
    try:
        call()
    except OSError as error:
        if error.errno is None:
            raise
        return error.errno
    return 0


def _check(result: int) -> None:
    if result == -1:
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))

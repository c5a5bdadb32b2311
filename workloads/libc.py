"""The one door to libc: system calls on mappings and files that Python's mmap and os lack.

Addresses and lengths are in bytes. Every function raises OSError with the errno of the call; flags and
constants have the kernel's names (include/uapi). Calls release the GIL. Numbers are those of
asm-generic, which x86 and arm64 use.
"""

from __future__ import annotations

import ctypes
import fcntl
from collections.abc import Callable
from ctypes import c_char, c_int, c_int64, c_long, c_size_t, c_uint, c_uint64, c_ulong, c_void_p

from verify.c_library import function

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


class _CacheRange(ctypes.Structure):
    """struct cachestat_range, include/uapi/linux/mman.h."""

    _fields_ = (("offset_bytes", c_uint64), ("length_bytes", c_uint64))


class _Vector(ctypes.Structure):
    """struct iovec, readv(2)."""

    _fields_ = (("base", c_void_p), ("length_bytes", c_size_t))


class _VolumeArguments(ctypes.Structure):
    """struct btrfs_ioctl_vol_args, include/uapi/linux/btrfs.h."""

    _fields_ = (("descriptor", c_int64), ("name", c_char * 4088))


class CacheStat(ctypes.Structure):
    """struct cachestat, include/uapi/linux/mman.h: counts of pages."""

    _counts = ("nr_cache", "nr_dirty", "nr_writeback", "nr_evicted", "nr_recently_evicted")
    _fields_ = tuple((name, c_uint64) for name in _counts)
    nr_cache: int
    nr_dirty: int
    nr_writeback: int
    nr_evicted: int
    nr_recently_evicted: int


_mmap = function("mmap", c_void_p, c_size_t, c_int, c_int, c_int, c_int64, result=c_long)
_mremap = function("mremap", c_void_p, c_size_t, c_size_t, c_int, c_void_p, result=c_long)
_writev = function("process_vm_writev", c_int, c_void_p, c_ulong, c_void_p, c_ulong, c_ulong, result=c_long)
_cachestat = function("syscall", c_long, c_uint, c_void_p, c_void_p, c_uint, result=c_long)
_prctl = function("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)

munmap: Callable[[int, int], int] = function("munmap", c_void_p, c_size_t)
"""munmap(2)."""
mlock: Callable[[int, int], int] = function("mlock", c_void_p, c_size_t)
"""mlock(2)."""
mlock2: Callable[[int, int, int], int] = function("mlock2", c_void_p, c_size_t, c_uint)
"""mlock2(2): address, length, flags."""
munlock: Callable[[int, int], int] = function("munlock", c_void_p, c_size_t)
"""munlock(2)."""
mlockall: Callable[[int], int] = function("mlockall", c_int)
"""mlockall(2)."""
madvise: Callable[[int, int, int], int] = function("madvise", c_void_p, c_size_t, c_int)
"""madvise(2): address, length, advice."""
mprotect: Callable[[int, int, int], int] = function("mprotect", c_void_p, c_size_t, c_int)
"""mprotect(2): address, length, protection."""
msync: Callable[[int, int, int], int] = function("msync", c_void_p, c_size_t, c_int)
"""msync(2): address, length, flags."""
sync_file_range: Callable[[int, int, int, int], int] = function("sync_file_range", c_int, c_int64, c_int64, c_uint)
"""sync_file_range(2): descriptor, offset, length, flags; length 0 means to the end of the file."""
fallocate: Callable[[int, int, int, int], int] = function("fallocate", c_int, c_int, c_int64, c_int64)
"""fallocate(2) itself: descriptor, mode, offset, length. Unlike posix_fallocate(3) it never writes zeros instead."""
syncfs: Callable[[int], int] = function("syncfs", c_int)
"""syncfs(2): write back the whole filesystem that an open file is on."""


def mmap(length_bytes: int, prot: int, flags: int, descriptor: int, offset_bytes: int) -> int:
    """Map a file, beyond its end too (Python's mmap refuses that); returns the address. mmap(2)."""
    return _mmap(None, length_bytes, prot, flags, descriptor, offset_bytes)


def move_mapping(address: int, length_bytes: int) -> int:
    """Move a mapping to another address, which is returned (mremap(2), MREMAP_FIXED onto a reservation)."""
    reserved = mmap(length_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    try:
        return _mremap(address, length_bytes, length_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, reserved)
    except OSError:
        munmap(reserved, length_bytes)
        raise


def process_vm_writev(pid: int, content: memoryview, address: int) -> int:
    """Copy writable `content` to an address of a process; returns the bytes copied. process_vm_writev(2)."""
    start = ctypes.addressof(c_char.from_buffer(content))
    source, target = _Vector(start, len(content)), _Vector(address, len(content))
    return _writev(pid, ctypes.byref(source), 1, ctypes.byref(target), 1, 0)


def cachestat(descriptor: int) -> CacheStat:
    """What the page cache holds of a whole file; ENOSYS before Linux 6.5. cachestat(2)."""
    whole, found = _CacheRange(0, 0), CacheStat()
    _cachestat(SYS_CACHESTAT, descriptor, ctypes.byref(whole), ctypes.byref(found), 0)
    return found


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
    return _prctl(option, argument, 0, 0, 0)


def errno_of(call: Callable[[], object]) -> int:
    """The errno with which a call fails, 0 if it does not: for callers to whom failure is an observation."""
    try:
        call()
    except OSError as error:
        if error.errno is None:
            raise
        return error.errno
    return 0

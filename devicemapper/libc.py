"""The one door to libc of this package: system calls that Python's os lacks.

Calls release the GIL and raise OSError with the errno of the call.
"""

from __future__ import annotations

import ctypes
import fcntl
import os

FITHAW = 0xC0045878
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
"""include/uapi/linux/sched.h"""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source: bytes, directory: bytes, fstype: bytes, flags: int, options: bytes) -> None:
    """mount(2)."""
    _check(_libc.mount(source, directory, fstype, flags, options))


def unmount(directory: bytes, flags: int) -> None:
    """umount2(2)."""
    _check(_libc.umount2(directory, flags))


def thaw(descriptor: int) -> None:
    """FITHAW (fs/ioctl.c): EINVAL if the filesystem is not frozen, EOPNOTSUPP if it cannot be."""
    fcntl.ioctl(descriptor, FITHAW, 0)


def unshare(flags: int) -> None:
    """unshare(2), for the calling thread. Python has it since 3.12."""
    _check(_libc.unshare(flags))


def setns(descriptor: int, kind: int) -> None:
    """setns(2), for the calling thread. Python has it since 3.12."""
    _check(_libc.setns(descriptor, kind))

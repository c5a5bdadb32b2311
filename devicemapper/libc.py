"""The one door to libc of this package: system calls that Python's os lacks.

Calls release the GIL and raise OSError with the errno of the call.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_ulong

from verify.c_library import function

FITHAW = 0xC0045878
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
"""include/uapi/linux/sched.h"""

mount: Callable[[bytes, bytes, bytes, int, bytes], int] = function("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
"""mount(2): source, directory, type, flags, options."""
unmount: Callable[[bytes, int], int] = function("umount2", c_char_p, c_int)
"""umount2(2): directory, flags."""
unshare: Callable[[int], int] = function("unshare", c_int)
"""unshare(2), for the calling thread. Python has it since 3.12."""
setns: Callable[[int, int], int] = function("setns", c_int, c_int)
"""setns(2), for the calling thread: descriptor, kind. Python has it since 3.12."""


def thaw(descriptor: int) -> None:
    """FITHAW (fs/ioctl.c): EINVAL if the filesystem is not frozen, EOPNOTSUPP if it cannot be."""
    fcntl.ioctl(descriptor, FITHAW, 0)

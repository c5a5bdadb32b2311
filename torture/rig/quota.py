"""Disk quotas: setting and reading limits by quotactl(2), and the kernel's own warnings through netlink.

Structures and numbers are those of include/uapi/linux/quota.h and include/uapi/linux/fs.h. Root is never refused
(CAP_SYS_RESOURCE), so files have to belong to an ordinary user, or to a project.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

from torture.filesystems.base import Filesystem, Quota
from torture.rig.machine import Machine, load_module
from verify.descriptors import opened

_GETQUOTA, _SETQUOTA, _BLOCK_LIMITS = 0x800007, 0x800008, 1
_FSGETXATTR, _FSSETXATTR, _INHERIT_PROJECT = 0x801C581F, 0x401C5820, 0x200
_DATAGRAM_BYTES = 1 << 16
_SYMBOLS = Path("/proc/kallsyms")
_libc = ctypes.CDLL(None, use_errno=True)


class Kind(IntEnum):
    """Whose usage is limited (USRQUOTA, PRJQUOTA)."""

    USER = 0
    PROJECT = 2


def missing(row: Filesystem, kind: Kind, machine: Machine) -> str:
    """Why the kernel limits nobody's usage of `row` for this kind of owner, "" if it can."""
    quota = row.quotas.get(kind.name.lower())
    if quota is None:
        return f"{row.name} keeps no quotas of this kind"
    if quota.module:
        load_module(quota.module, machine.modules)
    return "" if _kernel_keeps(quota) else f"the kernel was built without quotas for {row.type}"


def _kernel_keeps(quota: Quota) -> bool:
    """By what the row says; of a function only where the kernel shows its symbols at all."""
    if quota.kernel_file:
        return Path(quota.kernel_file).exists()
    symbols = _SYMBOLS.read_text() if _SYMBOLS.exists() else ""
    return not symbols or f" {quota.kernel_symbol}" in symbols


class _Limits(ctypes.Structure):
    """struct if_dqblk; limits in KiB."""

    _names = ("hard_kib", "soft_kib", "used_bytes", "hard_inodes", "soft_inodes", "used_inodes", "block_time", "inode_time")
    _fields_ = (*((name, ctypes.c_uint64) for name in _names), ("valid", ctypes.c_uint32))


def used_bytes(device: Path, kind: Kind, owner: int) -> int:
    """What user or project `owner` uses of the filesystem on `device`. OSError if it keeps no such quota."""
    limits = _Limits()
    _quotactl(_GETQUOTA, device, kind, owner, limits)
    return int(limits.used_bytes)


def limit(device: Path, kind: Kind, owner: int, hard_kib: int) -> None:
    """Let user or project `owner` use so much and no more. OSError if it keeps no such quota."""
    _quotactl(_SETQUOTA, device, kind, owner, _Limits(hard_kib=hard_kib, valid=_BLOCK_LIMITS))


def assign_project(path: Path, project: int) -> None:
    """Put a file, or a directory and all that is made in it, into a project (struct fsxattr). OSError if refused."""
    with opened(path) as descriptor:
        attributes = array.array("I", bytes(28))  # xflags, extsize, nextents, projid, cowextsize, padding
        fcntl.ioctl(descriptor, _FSGETXATTR, attributes, True)
        attributes[0] |= _INHERIT_PROJECT if path.is_dir() else 0
        attributes[3] = project
        fcntl.ioctl(descriptor, _FSSETXATTR, attributes)


def _quotactl(command: int, device: Path, kind: Kind, owner: int, limits: _Limits) -> None:
    words = (ctypes.c_int(command << 8 | kind), os.fsencode(device), ctypes.c_int(owner), ctypes.byref(limits))
    if _libc.quotactl(*words) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"quotactl: {os.strerror(number)}")


@dataclass(frozen=True, slots=True)
class Warning:
    """What the kernel said of `owner` (fs/quota/netlink.c): `code` is one of QUOTA_NL_*, 4 the block hard limit."""

    kind: int
    owner: int
    code: int


class QuotaWarnings:
    """Receives quota warnings from `__enter__` on, by pyroute2's DQuotSocket. To be used by one thread.

    As its `get` has no timeout (see devicemapper.uevents), what has come is taken from the socket here, and only parsed
    by pyroute2. OSError if the kernel does not send any.
    """

    def __enter__(self) -> Self:
        from pyroute2 import DQuotSocket  # slow to import, and needed by few trials

        self._socket: Any = DQuotSocket()
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def come(self) -> Iterator[Warning]:
        """Those that have come since the last call."""
        while select.select([self._socket.fileno()], [], [], 0)[0]:
            try:
                datagram = self._socket.recv(_DATAGRAM_BYTES)
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.EAGAIN):  # some were lost, or it was read already
                    raise
                return
            for message in self._socket.marshal.parse(datagram):
                fields = (message.get(f"QUOTA_NL_A_{name}") for name in ("QTYPE", "EXCESS_ID", "WARNING"))
                yield Warning(*fields)

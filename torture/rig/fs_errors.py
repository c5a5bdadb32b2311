"""FAN_FS_ERROR: the one way in which a kernel tells programs that a filesystem met an error that no call of theirs saw.

Watched from the mount to the unmount of a trial (fanotify(7), fanotify_mark(2): FAN_REPORT_FID and a filesystem mark;
Linux 5.16 and, of the filesystems, ext4 first). What comes is a report in the sense of design.md section 2, so the trial
appends it to the ledger. An event says what errno and how many errors, not which bytes are concerned.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from verify.ledger import FsError

_FAN_CLOEXEC, _FAN_NONBLOCK, _FAN_REPORT_FID = 0x1, 0x2, 0x200
_FAN_MARK_ADD, _FAN_MARK_FILESYSTEM = 0x1, 0x100
_FAN_FS_ERROR = 0x8000
_AT_FDCWD = -100
_INFO_TYPE_ERROR = 5
_METADATA = struct.Struct("=IBBHQii")
"""struct fanotify_event_metadata: event_len, vers, reserved, metadata_len, mask, fd, pid."""
_INFO_HEADER = struct.Struct("=BBH")
"""struct fanotify_event_info_header: info_type, pad, len."""
_INFO_ERROR = struct.Struct("=iI")
"""What follows it in struct fanotify_event_info_error: error, error_count."""
_READ_BYTES = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)


class FsErrors:
    """A listener; a context manager. `missing` says why it hears nothing, "" if it hears."""

    def __init__(self) -> None:
        self._descriptor = -1
        self.missing = "nothing is watched"

    def __enter__(self) -> Self:
        flags = ctypes.c_uint(_FAN_CLOEXEC | _FAN_NONBLOCK | _FAN_REPORT_FID)
        self._descriptor = _libc.fanotify_init(flags, ctypes.c_uint(os.O_RDONLY))
        if self._descriptor < 0:
            self.missing = f"fanotify_init: {os.strerror(ctypes.get_errno())}"
        return self

    def __exit__(self, *exception: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def watch(self, mount_point: Path) -> None:
        """Listen for errors of the filesystem that is mounted there, until it is unmounted."""
        if self._descriptor < 0:
            return
        flags = ctypes.c_uint(_FAN_MARK_ADD | _FAN_MARK_FILESYSTEM)
        mask, place = ctypes.c_uint64(_FAN_FS_ERROR), ctypes.c_char_p(os.fsencode(mount_point))
        failed = _libc.fanotify_mark(ctypes.c_int(self._descriptor), flags, mask, ctypes.c_int(_AT_FDCWD), place)
        self.missing = f"fanotify_mark: {os.strerror(ctypes.get_errno())}" if failed else ""

    def heard(self) -> Iterator[FsError]:
        """What came since it was asked last; never waits."""
        while self._descriptor >= 0:
            try:
                content = os.read(self._descriptor, _READ_BYTES)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise
                return
            yield from parse(content)


def parse(content: bytes) -> Iterator[FsError]:
    """The errors among the events of one read(2)."""
    while content:
        length, _, _, metadata_length, mask, _, _ = _METADATA.unpack_from(content)
        event, content = content[metadata_length:length], content[length:]
        if mask & _FAN_FS_ERROR:
            yield from _errors(event)


def _errors(records: bytes) -> Iterator[FsError]:
    while records:
        kind, _, length = _INFO_HEADER.unpack_from(records)
        if kind == _INFO_TYPE_ERROR:
            error, count = _INFO_ERROR.unpack_from(records, _INFO_HEADER.size)
            yield FsError(abs(error), count)  # ext4 gives either sign (__ext4_error, __ext4_std_error)
        records = records[length:]

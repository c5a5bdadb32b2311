"""The scratch disk of a guest: a file filled with foreign stamps, so that a block that was never written shows as such.

Later trials on the same disk find the stamps of earlier ones below their filesystem; these are foreign to them too,
since every plan has a run number of its own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from torture.errors import MissingRequirement
from torture.filesystems import FILESYSTEMS
from verify import stamp

DISK_MIB = max(row.size_mib for row in FILESYSTEMS.values()) + 20
_CHUNK_BYTES = 1 << 20
_DISK_WRITER = 0xFFFFFFFD
_SPARE_BYTES = 64 << 20


def make_disk(path: Path, run: int, page_bytes: int) -> None:
    """Write DISK_MIB of stamps to a new file or a given device; MissingRequirement if the file has no room."""
    given = path.is_block_device()
    free = shutil.disk_usage(path.parent).free
    if not given and free < (DISK_MIB << 20) + _SPARE_BYTES:
        raise MissingRequirement(
            f"{path.parent} has {free >> 20} MiB free, a scratch disk takes {DISK_MIB} MiB", "choose another --scratch"
        )
    content = bytearray(_CHUNK_BYTES)
    with open(path, "r+b" if given else "xb") as disk:
        for chunk in range(DISK_MIB):
            stamp.fill(
                content,
                run=run,
                file=stamp.FOREIGN_FILE,
                first_page=chunk * (_CHUNK_BYTES // page_bytes),
                generation=0,
                writer=_DISK_WRITER,
                kind=stamp.Kind.FOREIGN,
                page_bytes=page_bytes,
            )
            disk.write(content)


def default_scratch() -> Path:
    """A directory in memory where there is one with room: a guest's flush is then no fsync of the host's disk."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30:
        return memory
    return Path(os.environ.get("TMPDIR", "/var/tmp"))

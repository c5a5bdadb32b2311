"""Makes the scratch disk of a guest: a file full of foreign stamps, so that a block that was never written shows as such.

Later trials on the same disk find the stamps of earlier ones below their filesystem; these are foreign to them too,
since every plan has a run number of its own.
"""

from __future__ import annotations

import gzip
import mmap
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

from torture.errors import BadRequest, MissingRequirement
from torture.filesystems import FILESYSTEMS
from verify import stamp
from verify.descriptors import regular

DISK_MIB = max(row.size_mib for row in FILESYSTEMS.values()) + 20
_CHUNK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_DISK_WRITER = 0xFFFFFFFD
_SPARE_BYTES = 64 << 20
_MEMORY = Path("/dev/shm")
MOST_IMAGE_MIB = 1024
"""Of a disk image, unpacked: more than the disk of any trial has."""


def make_guest_home(scratch: Path, run_id: str, index: int) -> Path:
    """A new directory for the scratch files of guest `index`, in the home of its run. Whatever the umask, other users may
    pass through it, and not look: workers and guests are other users."""
    home = scratch.absolute() / run_id / f"guest-{index}"
    home.mkdir(parents=True)
    home.chmod(0o711)
    return home


def provide_disk(path: Path, image: Path | None) -> None:
    """The disk of a new guest: `image`, which is moved there, or one that is full of stamps."""
    if image is None:
        make_disk(path)
    else:
        image.rename(path)


def make_disk(path: Path) -> None:
    """Write DISK_MIB of stamps to a new file or a given device; MissingRequirement if the file has no room."""
    given = path.is_block_device()
    free = shutil.disk_usage(path.parent).free
    if not given and free < (DISK_MIB << 20) + _SPARE_BYTES:
        raise MissingRequirement(
            f"{path.parent} has {free >> 20} MiB free, a scratch disk takes {DISK_MIB} MiB", "choose another --scratch"
        )
    content = bytearray(_CHUNK_BYTES)
    with open(path, "r+b" if given else "xb", opener=_exclusively if given else _for_us_alone) as disk:
        for chunk in range(DISK_MIB):
            stamp.fill(
                content,
                run=0,
                file=stamp.FOREIGN_FILE,
                first_page=chunk * (_CHUNK_BYTES // mmap.PAGESIZE),
                generation=0,
                writer=_DISK_WRITER,
                kind=stamp.Kind.FOREIGN,
                page_bytes=mmap.PAGESIZE,
            )
            disk.write(content)


def copy_image(image: Path, target: Path) -> None:
    """A sparse copy of a disk image, raw or gzipped. MissingRequirement if it would leave no room, BadRequest as from
    `image_chunks`."""
    with open(target, "xb", opener=_for_us_alone) as out:
        for chunk in image_chunks(image):
            if chunk.count(0) == len(chunk):
                out.seek(len(chunk), os.SEEK_CUR)
                continue
            if shutil.disk_usage(target.parent).free < _SPARE_BYTES + len(chunk):
                raise MissingRequirement(f"{target.parent} has no room for a copy of {image}", "choose another --scratch")
            out.write(chunk)
        out.truncate()


def _exclusively(path: str, flags: int) -> int:
    """EBUSY if the kernel has an exclusive user of a block device: a filesystem, for instance (open(2))."""
    return os.open(path, flags | os.O_EXCL)


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def image_chunks(image: Path) -> Iterator[bytes]:
    """The content of a disk image, raw or gzipped, in pieces of 1 MiB. BadRequest if it cannot be read, is no regular file,
    or is longer than MOST_IMAGE_MIB."""
    try:
        with regular(image) as raw:
            packed = raw.peek(len(_GZIP))[: len(_GZIP)] == _GZIP
            with gzip.GzipFile(fileobj=raw) if packed else raw as source:
                for _ in range(MOST_IMAGE_MIB):
                    if not (chunk := source.read(_CHUNK_BYTES)):
                        return
                    yield chunk
                if source.read(1):
                    longer = f"image {image} is longer than {MOST_IMAGE_MIB} MiB"
                    raise BadRequest(longer, f"give its first {DISK_MIB} MiB: no trial uses more of a disk")
    except (OSError, EOFError, zlib.error) as error:
        raise BadRequest(f"cannot read image {image}: {error}", "give a raw disk image, or a gzipped one") from error


def memory_scratch(scratch: Path) -> Path:
    """Where files lie that are never to be written to a disk: a directory in memory, or `scratch` if that is it, or if
    there is none."""
    usable = os.access(_MEMORY, os.W_OK) and not (scratch.exists() and _MEMORY.samefile(scratch))
    return _MEMORY if usable else scratch.absolute()


def default_scratch() -> Path:
    """A directory in memory where there is one with room: a guest's flush is then no fsync of the host's disk."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4 << 30:
        return _MEMORY
    return Path(os.environ.get("TMPDIR", "/var/tmp"))

"""The ledger: what was stored and what was promised, in one append-only file.

One JSON array per line; every record is appended with one write(2) to a descriptor opened with O_APPEND,
so the processes that share a ledger never mix their lines, and *the position in the file is the total
order*: a sync began after a store returned exactly if its Sync record stands after the Stored record.
The oracle reads nothing else.

Intent is recorded before an operation and its result after it. A writer killed between the two leaves
the operation outstanding, which the oracle takes for unknown. A writer killed within a record leaves a
torn last line, which is dropped.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from verify.json_lines import Codec
from verify.numbers import S64, U32, U64, Bytes, Errno, Owner, PageIndex

LEDGER_VERSION = 2
MAX_FILES = 2000
"""As many as a plan can have, each with a clone (workloads.layouts.CLONE_ID_OFFSET)."""

BaseKind = Literal["zero", "stamp"]
Role = Literal["target", "clone", "bystander"]


@dataclass(frozen=True, slots=True)
class Base:
    """Content of a range of pages before the run: zeros, or stamps of kind BASE."""

    first_page: PageIndex
    pages: PageIndex
    kind: BaseKind


@dataclass(frozen=True, slots=True)
class RefusedPage:
    """A page whose store was refused.

    `how` is SIGBUS, or the name of the errno of a kernel-mode copy such as EFAULT; `code` is the si_code
    or the errno; `address` the faulting address or 0.
    """

    page: PageIndex
    how: str
    code: S64
    address: U64


class _Record:
    """What all records share."""

    __slots__ = ()
    TAG: ClassVar[str]

    def encode(self) -> bytes:
        """The record's line, newline included."""
        return _CODEC.encode(self)


@dataclass(frozen=True, slots=True)
class Begin(_Record):
    """First record of every ledger."""

    TAG: ClassVar[str] = "begin"
    version: U32
    """LEDGER_VERSION."""
    run: U64
    """The number, of 64 bits, in all stamps of the run."""
    page_bytes: U32
    plan: str
    """The identity of the plan."""


@dataclass(frozen=True, slots=True)
class File(_Record):
    """A file on the filesystem under test, laid out and synced before the first store."""

    TAG: ClassVar[str] = "file"
    file: U32
    name: str
    size_bytes: Bytes
    layout: str
    role: Role
    content_file: U32
    """Named by its base stamps: its own id, or the origin's in a clone. STORE stamps name the file they went to."""
    base: tuple[Base, ...]
    """Pages in none of these ranges, those past `size_bytes` included, are zeros."""


@dataclass(frozen=True, slots=True)
class Worker(_Record):
    """A worker and the pages of one file that are its own.

    Findings on these pages are attributed to its pin and access path.
    """

    TAG: ClassVar[str] = "worker"
    worker: Owner
    file: U32
    pin: str
    access: str
    first_page: PageIndex
    pages: PageIndex


@dataclass(frozen=True, slots=True)
class Pinned(_Record):
    """The pin was tried; errno 0 is success."""

    TAG: ClassVar[str] = "pinned"
    worker: Owner
    errno: Errno


@dataclass(frozen=True, slots=True)
class Store(_Record):
    """Intent to store bytes [lo, hi) of each page of a range, taken from its stamp of `generation`."""

    TAG: ClassVar[str] = "store"
    worker: U32
    file: U32
    first_page: PageIndex
    pages: PageIndex
    generation: U32
    lo: U32
    hi: U32
    crossing: bool = False
    """One store over page boundaries instead, from byte lo of the first page to byte hi of the last."""


@dataclass(frozen=True, slots=True)
class Stored(_Record):
    """The worker's outstanding Store returned. Pages that are not among the `refused` were accepted."""

    TAG: ClassVar[str] = "stored"
    worker: Owner
    refused: tuple[RefusedPage, ...]


@dataclass(frozen=True, slots=True)
class Sync(_Record):
    """A sync begins."""

    TAG: ClassVar[str] = "sync"
    worker: Owner
    kind: str
    """msync, fsync, fdatasync, syncfs, sync (which cannot report an error, so it proves nothing once a fault has struck),
    async_fsync (msync(MS_ASYNC) and fsync) or sync_file_range, which promises nothing."""
    files: tuple[U32, ...]
    """None for the whole filesystem."""
    first_page: PageIndex
    pages: PageIndex
    """0 for whole files."""


@dataclass(frozen=True, slots=True)
class Synced(_Record):
    """The worker's outstanding Sync returned; errno 0 is success."""

    TAG: ClassVar[str] = "synced"
    worker: Owner
    errno: Errno


@dataclass(frozen=True, slots=True)
class Resize(_Record):
    """The file is about to get another size; bytes from the smaller of old and new size on become zeros.

    A worker has at most one Resize or Zeroed outstanding: its result is Altered. Two workers may zero a file at the same
    time, but nobody resizes a file that others work on.
    """

    TAG: ClassVar[str] = "resize"
    worker: Owner
    file: U32
    size_bytes: Bytes


@dataclass(frozen=True, slots=True)
class Zeroed(_Record):
    """A range of the file is about to be legally turned into zeros (punched, zeroed); see Resize."""

    TAG: ClassVar[str] = "zeroed"
    worker: Owner
    file: U32
    first_byte: Bytes
    length_bytes: Bytes


@dataclass(frozen=True, slots=True)
class Altered(_Record):
    """The worker's outstanding Resize or Zeroed returned; errno 0 is success, anything else may have happened in part."""

    TAG: ClassVar[str] = "altered"
    worker: Owner
    errno: Errno


@dataclass(frozen=True, slots=True)
class Swap(_Record):
    """A table that breaks durability is about to be loaded: a sync that ends after this proves nothing."""

    TAG: ClassVar[str] = "swap"
    table: str


@dataclass(frozen=True, slots=True)
class Struck(_Record):
    """The fault struck."""

    TAG: ClassVar[str] = "struck"
    fault: str
    crash: bool
    """Whatever was not synced may be lost."""


@dataclass(frozen=True, slots=True)
class FsError(_Record):
    """By now a listener of FAN_FS_ERROR was told of `count` errors of the filesystem, the first with this errno.

    A report of whatever was stored before: the application could have known (fanotify(7)). It takes back no sync.
    """

    TAG: ClassVar[str] = "fs_error"
    errno: Errno
    count: U64


@dataclass(frozen=True, slots=True)
class Looked(_Record):
    """What a worker saw of its mapping, its file and its locks, in this order: it read the mapping first."""

    TAG: ClassVar[str] = "looked"
    worker: Owner
    nonzero_bytes: U64
    """In the pages that it was to read."""
    resident_kib: U64
    dirty_kib: U64
    locked_kib: U64
    """Of the whole process, which may be a child of the worker."""
    blocks: U64
    """Of 512 bytes, that the file takes."""
    mtime_ns: S64


@dataclass(frozen=True, slots=True)
class Thawed(_Record):
    """The frozen filesystem is about to be thawed; so much was written to its device since it was frozen."""

    TAG: ClassVar[str] = "thawed"
    sectors: U64


@dataclass(frozen=True, slots=True)
class Note(_Record):
    """A remark for people; means nothing to the oracle."""

    TAG: ClassVar[str] = "note"
    text: str


Record = (
    Begin
    | File
    | Worker
    | Pinned
    | Store
    | Stored
    | Sync
    | Synced
    | Resize
    | Zeroed
    | Altered
    | Swap
    | Struck
    | FsError
    | Looked
    | Thawed
    | Note
)
_CODEC = Codec[_Record]({record.TAG: record for record in get_args(Record)})


def decode(line: bytes) -> Record:
    """The record of one line. Raises ValueError with the reason if it is none."""
    record = _CODEC.decode(line)
    assert isinstance(record, Record)
    return record

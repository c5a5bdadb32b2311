"""The device-mapper targets, typed: one class each, pure.

Arguments are those of Documentation/admin-guide/device-mapper/ in the kernel source. Offsets are in sectors of 512
bytes, intervals in seconds. Devices are paths or, as the kernel prints them, MAJOR:MINOR.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import ClassVar

from verify.stamp import SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class Target:
    """What a segment of a device is mapped to. Texts among the fields are devices; ValueError for what cannot be."""

    kind: ClassVar[str]
    """The kernel's name of the target."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and value.split() != [value]:
                raise ValueError(f"a table cannot name the device {value!r}")
            if field.name.endswith("offset_sectors") and value < 0:
                raise ValueError(f"negative offset: {value} sectors")

    def arguments(self) -> tuple[str, ...]:
        """The words that follow the kind in a table line: the fields in order, unless a target says otherwise."""
        return tuple(map(str, astuple(self)))


@dataclass(frozen=True, slots=True)
class Linear(Target):
    """linear.rst: the same sectors of `device`, from `offset_sectors` on."""

    kind: ClassVar[str] = "linear"
    device: str
    offset_sectors: int = 0


@dataclass(frozen=True, slots=True)
class Flakey(Target):
    """dm-flakey.rst: reliable for `up_s`, then broken as `features` say for `down_s`, again and again.

    A feature is a name with its arguments: "drop_writes", "corrupt_bio_byte 32 r 1 0". Without any, all I/O fails
    while down. The count of feature words is always written, even 0: kernels 6.4 to 6.15 never fail without it.
    """

    DROP_WRITES: ClassVar[str] = "drop_writes"
    ERROR_WRITES: ClassVar[str] = "error_writes"
    FEATURE_ARGUMENTS: ClassVar[dict[str, int]] = {
        DROP_WRITES: 0,
        ERROR_WRITES: 0,
        "error_reads": 0,
        "corrupt_bio_byte": 4,
        "random_read_corrupt": 1,
        "random_write_corrupt": 1,
    }

    kind: ClassVar[str] = "flakey"
    device: str
    offset_sectors: int
    up_s: int
    down_s: int
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Target.__post_init__(self)
        if self.up_s < 0 or self.down_s < 0 or self.up_s + self.down_s == 0:
            raise ValueError(f"flakey needs an interval: up {self.up_s} s, down {self.down_s} s")
        for feature in self.features:
            name, *arguments = feature.split() or [""]
            if self.FEATURE_ARGUMENTS.get(name) != len(arguments):
                raise ValueError(f"no flakey feature: {feature!r}; known are {', '.join(self.FEATURE_ARGUMENTS)}")

    def arguments(self) -> tuple[str, ...]:
        """DEVICE OFFSET UP DOWN COUNT FEATURE..."""
        words = [word for feature in self.features for word in feature.split()]
        numbers = (self.offset_sectors, self.up_s, self.down_s, len(words))
        return (self.device, *map(str, numbers), *words)


@dataclass(frozen=True, slots=True)
class Error(Target):
    """Every I/O fails with EIO (drivers/md/dm-target.c)."""

    kind: ClassVar[str] = "error"


@dataclass(frozen=True, slots=True)
class Zero(Target):
    """zero.rst: reads give zeros, writes are discarded."""

    kind: ClassVar[str] = "zero"


@dataclass(frozen=True, slots=True)
class LogWrites(Target):
    """log-writes.rst: passes everything on to `device` and logs all writes on `log_device`."""

    kind: ClassVar[str] = "log-writes"
    device: str
    log_device: str


@dataclass(frozen=True, slots=True)
class Snapshot(Target):
    """snapshot.rst: `origin` as it is, with everything written kept on `store`: forgotten when the table goes, or, if
    `persistent`, found again there (the store of a new one begins with a zeroed chunk).

    Nobody may write to the origin in the meantime. A full store makes the snapshot invalid: all its I/O then fails.
    """

    kind: ClassVar[str] = "snapshot"
    PERSISTENT: ClassVar[str] = "P"
    TRANSIENT: ClassVar[str] = "N"
    origin: str
    store: str
    chunk_sectors: int = 8
    persistent: bool = False

    def __post_init__(self) -> None:
        Target.__post_init__(self)
        if self.chunk_sectors < 1 or self.chunk_sectors & (self.chunk_sectors - 1):
            raise ValueError(f"a chunk of {self.chunk_sectors} sectors is no power of two")

    def arguments(self) -> tuple[str, ...]:
        """ORIGIN STORE P|N CHUNK."""
        kept = self.PERSISTENT if self.persistent else self.TRANSIENT
        return (self.origin, self.store, kept, str(self.chunk_sectors))


@dataclass(frozen=True, slots=True)
class ThinPool(Target):
    """thin-provisioning.rst: blocks of `block_sectors` of `data`, handed out to thin devices on their first write.

    `metadata` begins with a zeroed block when the pool is new. Without free blocks I/O waits, as the kernel's default
    is, or fails with `error_if_no_space`. Messages: "create_thin ID", "delete ID".
    """

    ERROR_IF_NO_SPACE: ClassVar[str] = "error_if_no_space"

    kind: ClassVar[str] = "thin-pool"
    metadata: str
    data: str
    block_sectors: int = 128
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Target.__post_init__(self)
        if self.block_sectors < 128 or self.block_sectors % 128:
            raise ValueError(f"a block of {self.block_sectors} sectors is no multiple of 128")

    def arguments(self) -> tuple[str, ...]:
        """METADATA DATA BLOCK LOW_WATER COUNT FEATURE..."""
        return (self.metadata, self.data, str(self.block_sectors), "0", str(len(self.features)), *self.features)


@dataclass(frozen=True, slots=True)
class Thin(Target):
    """thin-provisioning.rst: device number `device_id` of a pool."""

    kind: ClassVar[str] = "thin"
    pool: str
    device_id: int


@dataclass(frozen=True, slots=True)
class Delay(Target):
    """delay.rst: reads come from one device after `read_ms`, writes and flushes go to another after `write_ms`.

    With a delay of 0 ms they are passed on at once, so two devices are a way to treat reads and writes differently.
    """

    kind: ClassVar[str] = "delay"
    read_device: str
    read_offset_sectors: int
    read_ms: int
    write_device: str
    write_offset_sectors: int
    write_ms: int

    def __post_init__(self) -> None:
        Target.__post_init__(self)
        if self.read_ms < 0 or self.write_ms < 0:
            raise ValueError(f"negative delay: {self.read_ms} ms, {self.write_ms} ms")


@dataclass(frozen=True, slots=True)
class Dust(Target):
    """dm-dust.rst: blocks of `block_bytes` fail to be read once they were marked by the message ADD_BAD with their number
    and reads were told to fail by ENABLE, until they are written. Numbers count from the target's start.
    """

    ADD_BAD: ClassVar[str] = "addbadblock"
    ENABLE: ClassVar[str] = "enable"
    QUIET: ClassVar[str] = "quiet"
    COUNT_BAD: ClassVar[str] = "countbadblocks"

    kind: ClassVar[str] = "dust"
    device: str
    offset_sectors: int
    block_bytes: int

    def __post_init__(self) -> None:
        Target.__post_init__(self)
        if self.block_bytes < SECTOR_BYTES or self.block_bytes & (self.block_bytes - 1):
            raise ValueError(f"a dust block of {self.block_bytes} bytes is no power of two from {SECTOR_BYTES} on")

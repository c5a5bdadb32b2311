"""The filesystems under test: one row each.

A row says how to make, mount, mend and check one filesystem on a given device, how small it may be, and which features
a plan may count on. Adding a filesystem, or a named configuration of one, is adding a row; nothing else changes.

Sizes are kept near the smallest that mkfs takes, so that filling and checking are quick.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field, replace

from torture.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Check:
    """A read-only consistency check: `argv` plus the device; clean means an exit code in `clean` and no `complaint`.

    `complaint` is text that marks an inconsistency in tools whose exit code does not tell (fsck.f2fs 1.15 exits 0).
    """

    argv: tuple[str, ...]
    clean: tuple[int, ...] = (0,)
    complaint: str | None = None

    def is_clean(self, exit_code: int, output: str) -> bool:
        """Whether the tool ended with `exit_code` and `output` over a filesystem without faults."""
        return exit_code in self.clean and not (self.complaint and self.complaint in output)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What runs after a crash and before the mount where the kernel does not recover by itself: `argv` and the device.

    Exit codes in `recovered` are good. `failure` is text that says the recovery itself failed while the tool went on:
    then nothing can be concluded about the kernel, and the trial is `notrun`.
    """

    argv: tuple[str, ...]
    recovered: tuple[int, ...] = (0,)
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Filesystem:
    """One row. `argv`s are completed with the device; `size_mib` is the size of the scratch device in MiB.

    Features: `unwritten` (fallocate leaves unwritten extents), `keep-size` (fallocate beyond the end), `punch`,
    `zero-range`, `collapse` (and insert range), `reflink` (FICLONE), `snapshot` (of subvolumes), `direct` (O_DIRECT),
    `freeze`, `shutdown` (its ioctl), `reserves` (page_mkwrite allocates or reserves, so a full filesystem is refused at
    the store), `qgroups` (quotas of subvolumes), `journal` (metadata is consistent after a power cut, so fsck complaints
    then are findings).

    `unrecoverable`: why what a crash leaves cannot be judged, "" if it can. `volatile`: it lives in memory, has no
    device, and is read again without an unmount between. With an errno of `refuses_pins` it may refuse a pin when full.
    `stalls`: disturbances that wait until metadata was written, which it tries for ever while the disk refuses.
    """

    name: str
    mkfs: tuple[str, ...]
    check: Check
    package: str
    size_mib: int
    kernel_type: str = ""
    module: str = ""
    mount_options: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    recovery: Recovery | None = None
    copy_options: tuple[str, ...] = ()
    block_bytes: int = 4096
    volatile: bool = False
    unrecoverable: str = ""
    refuses_pins: frozenset[int] = frozenset()
    stalls: frozenset[str] = frozenset()
    remarks: str = field(default="")

    @property
    def type(self) -> str:
        """The type that mount(2) takes."""
        return self.kernel_type or self.name

    def has(self, feature: str) -> bool:
        """Whether the row claims `feature`; "" is none and always there."""
        return not feature or feature in self.features

    def variant(
        self,
        name: str,
        *,
        mkfs: tuple[str, ...] = (),
        mount: tuple[str, ...] = (),
        block_bytes: int | None = None,
        without: frozenset[str] = frozenset(),
    ) -> Filesystem:
        """A named configuration of this row, `ext4:1k` for instance, as users of fstests know them: further options for
        mkfs (a later one wins) and mount, and the features that are lost by it."""
        return replace(
            self,
            name=f"{self.name}:{name}",
            mkfs=(*self.mkfs, *mkfs),
            mount_options=(*self.mount_options, *mount),
            kernel_type=self.type,
            block_bytes=block_bytes or self.block_bytes,
            features=self.features - without,
        )


def _extended(name: str, mkfs: str, features: frozenset[str], recovery: Recovery | None = None) -> Filesystem:
    """ext2, ext3 and ext4. `-m 0`: no blocks kept back for root and the flusher; `-b 4096`: mke2fs picks 1 KiB blocks
    below 512 MiB (kernel-facts). e2fsck: bits 1 and 2 of the exit code mean corrected, 4 left uncorrected (e2fsck(8)).
    """
    return Filesystem(
        name=name,
        mkfs=(mkfs, "-q", "-F", "-b", "4096", "-m", "0", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"),
        check=Check(("e2fsck", "-f", "-n")),
        package="e2fsprogs",
        size_mib=64,
        features=features,
        recovery=recovery,
    )


_RANGES = frozenset({"keep-size", "punch", "zero-range"})
_ALWAYS = frozenset({"direct", "freeze"})
# On a full disk it has no room to clone a block that two files claim after the crash, and deletes the file instead.
_E2FSCK = Recovery(("e2fsck", "-f", "-y"), recovered=(0, 1, 2, 3), failure="Couldn't clone file")

_PLAIN: dict[str, Filesystem] = {
    row.name: row
    for row in (
        _extended("ext4", "mkfs.ext4", _RANGES | _ALWAYS | {"unwritten", "collapse", "reserves", "journal", "shutdown"}),
        _extended("ext3", "mkfs.ext3", _ALWAYS | {"punch", "reserves", "journal", "shutdown"}),
        _extended("ext2", "mkfs.ext2", _ALWAYS, _E2FSCK),
        Filesystem(
            name="xfs",
            mkfs=("mkfs.xfs", "-q", "-f", "-K"),
            check=Check(("xfs_repair", "-n", "-f")),
            package="xfsprogs",
            size_mib=300,
            copy_options=("nouuid",),
            features=_RANGES | _ALWAYS | {"unwritten", "collapse", "reflink", "reserves", "journal", "shutdown"},
            stalls=frozenset({"freeze"}),
        ),
        Filesystem(
            name="btrfs",
            mkfs=("mkfs.btrfs", "-q", "-f", "-K"),
            check=Check(("btrfs", "check", "--readonly")),
            package="btrfs-progs",
            size_mib=128,
            features=_RANGES | _ALWAYS | {"unwritten", "reflink", "snapshot", "reserves", "journal", "qgroups"},
        ),
        Filesystem(
            name="f2fs",
            mkfs=("mkfs.f2fs", "-q", "-f", "-t", "0"),
            check=Check(("fsck.f2fs", "--dry-run", "-f"), complaint="[Fail]"),
            package="f2fs-tools",
            size_mib=96,
            module="f2fs",
            features=_RANGES | _ALWAYS | {"collapse", "reserves", "journal", "shutdown"},
            remarks="preallocated blocks are allocated, not unwritten",
        ),
        Filesystem(
            name="jfs",
            mkfs=("mkfs.jfs", "-q"),
            check=Check(("jfs_fsck", "-n", "-f")),
            package="jfsutils",
            size_mib=32,
            features=_ALWAYS | {"journal"},
            # jfs_fsck 1.1.15 cannot replay what Linux 6.1 logged, not even a plain write and fsync (LOGREDO error 274),
            # discards the journal and calls the result clean: see docs/kernel-behaviour.md.
            recovery=Recovery(("jfs_fsck", "-v", "-p"), recovered=(0, 1), failure="logredo failed"),
            unrecoverable="jfs_fsck cannot replay the journal of this kernel, so the kernel cannot be judged",
        ),
        Filesystem(
            name="reiserfs",
            mkfs=("mkfs.reiserfs", "-q", "-f", "-f"),
            check=Check(("reiserfsck", "--check", "-y", "-q")),
            package="reiserfsprogs",
            size_mib=64,
            features=_ALWAYS | {"journal"},
        ),
        Filesystem(
            name="tmpfs",
            mkfs=("true",),  # there is nothing to make or to check
            check=Check(("true",)),
            package="coreutils",
            size_mib=32,
            mount_options=("size=32m",),
            features=frozenset({"keep-size", "punch", "reserves"}),
            volatile=True,
            # A read fault of a hole allocates and charges the page (mm/shmem.c, shmem_get_folio_gfp), so that mlock
            # of a full tmpfs fails: EFAULT of the populate, which mlock turns into ENOMEM (mm/mlock.c).
            refuses_pins=frozenset({errno.ENOMEM, errno.EFAULT}),
        ),
    )
}

_EXT4, _XFS, _BTRFS, _F2FS = _PLAIN["ext4"], _PLAIN["xfs"], _PLAIN["btrfs"], _PLAIN["f2fs"]
_VARIANTS = (
    _EXT4.variant("1k", mkfs=("-b", "1024"), block_bytes=1024),
    _EXT4.variant("bigalloc", mkfs=("-O", "bigalloc", "-C", "16384"), without=frozenset({"collapse"})),
    _EXT4.variant("nodelalloc", mount=("nodelalloc",)),
    _EXT4.variant("data-journal", mount=("data=journal",)),
    _EXT4.variant("inline", mkfs=("-O", "inline_data")),
    _EXT4.variant(
        "indirect", mkfs=("-O", "^extent,^64bit"), without=frozenset({"unwritten", "keep-size", "zero-range", "collapse"})
    ),
    _XFS.variant("reflink", mkfs=("-m", "reflink=1")),
    _XFS.variant("noreflink", mkfs=("-m", "reflink=0"), without=frozenset({"reflink"})),
    _XFS.variant("1k", mkfs=("-b", "size=1024"), block_bytes=1024),
    _XFS.variant("extsize", mkfs=("-d", "extszinherit=4")),
    _BTRFS.variant("nodatacow", mount=("nodatacow",)),
    _BTRFS.variant("compress", mount=("compress-force=zlib",)),
    _F2FS.variant("lfs", mount=("mode=lfs",)),
    _F2FS.variant("noinline", mount=("noinline_data",)),
)
# Not here: xfs with always_cow is a debugging knob (/sys/fs/xfs/debug) of kernels built with CONFIG_XFS_DEBUG.

FILESYSTEMS: dict[str, Filesystem] = {**_PLAIN, **{row.name: row for row in _VARIANTS}}


def filesystem(name: str) -> Filesystem:
    """The row called `name`; BadRequest names the rows there are."""
    if name not in FILESYSTEMS:
        raise BadRequest(f"unknown filesystem {name!r}", f"known are {', '.join(FILESYSTEMS)}")
    return FILESYSTEMS[name]

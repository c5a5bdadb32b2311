"""ext2, ext3 and ext4. The kernel's ext4 drives ext3 as well."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from torture.filesystems.base import ON_DISK, RANGES, READ_ONLY, UNFLUSHED, Check, Filesystem, Quota, Recovery
from torture.filesystems.mounted import Mounted
from torture.filesystems.words import ERRORS, FEATURES, LABEL, UUID, Words

_OVERWRITES = ON_DISK | {"extents", "in-place", "raw-data", "gives-up"}
_JOURNALS = _OVERWRITES | {"journal", "punch", "reserves", "shutdown"}
_EVERYTHING = _JOURNALS | RANGES | {"unwritten", "collapse"}
# On a full disk it has no room to clone a block that two files claim after the crash, and deletes the file instead.
_E2FSCK = Recovery(("e2fsck", "-f", "-y"), recovered=(0, 1, 2, 3), failure="Couldn't clone file")
_FORMAT, _OF_THE_FORMAT = "quota_v2", "v2_check_quota_file"
"""The module with the format that quotas are kept in (CONFIG_QFMT_V2), and a function of it."""

_WORDS = Words(  # mke2fs(8), ext4(5)
    {
        **dict.fromkeys(("-b", "-C", "-g", "-G", "-i", "-I", "-N"), "#"),
        **dict.fromkeys(("-D", "-F", "-j", "-K", "-q", "-v"), ""),
        "-e": "continue remount-ro",
        "-E": "(no)?discard lazy_(itable|journal)_init(=[01])? (stride|stripe[_-]width|resize|desc[_-]size)=#"
        " packed_meta_blocks(=[01])? num_backup_sb=[012] root_owner(=[0-9]+:[0-9]+)? quotatype=[a-z:]+ test_fs"
        f" no_copy_xattrs mmp_update_interval=# orphan_file_size=# assume_storage_prezeroed(=[01])? hash_seed={UUID}"
        " encoding=utf8[0-9.-]* encoding_flags=(no)?strict revision=[01]",
        "-J": "(size|fast_commit_size|location)=#",
        "-L": LABEL,
        "-m": "[0-9]{1,2}([.][0-9]+)?",
        "-O": FEATURES,
        "-r": "[01]",
        "-T": "[a-z0-9_]+",
        "-U": f"random clear time {UUID}",
    },
    "(no)?acl (no)?user_xattr bsddf minixdf (no)?grpid bsdgroups sysvgroups res[gu]id=# (no)?quota (usr|grp|prj)quota"
    f" nouid32 oldalloc orlov check=none nocheck debug {ERRORS} (no)?reservation data=(journal|ordered|writeback)"
    " data_err=(ignore|abort) barrier(=[01])? nobarrier commit=# norecovery noload (no)?journal_checksum"
    " journal_async_commit inode_readahead_blks=# stripe=# (no)?delalloc (max|min)_batch_time=# journal_ioprio=[0-7]"
    " (no)?auto_da_alloc (no)?init_itable(=#)? (no)?discard (no)?block_validity dioread_(no)?lock nodioread_nolock"
    " max_dir_size_kb=# i_version nombcache (no_)?prefetch_block_bitmaps mb_optimize_scan=[01]"
    " (no)?warn_on_error (no)?bh (no)?mblk_io_submit jqfmt=(vfsold|vfsv[01]) inlinecrypt dax(=(always|never|inode))?",
)


_OF_EXTENTS = frozenset({"unwritten", "keep-size", "zero-range", "collapse"})
_TAKES = {
    **READ_ONLY,
    "made with ^extent": _OF_EXTENTS,
    "made with bigalloc": frozenset({"collapse"}),
    # Metadata lies as the crash left it, and blocks may have two owners.
    "running without a journal": frozenset({"journal"}),
    "mounted with barrier=0": UNFLUSHED,
    "mounted with data=writeback": frozenset({"order promise"}),  # ext4(5)
}
"""What fast_commit, data=journal, journal_async_commit (its commits carry checksums, and are flushed), commit=, delalloc,
dioread_nolock, auto_da_alloc, discard, inline_data and the times of access take away: nothing."""
_SUPERBLOCK_BYTE, _FEATURES_BYTE = 1024, 0x5C  # struct ext4_super_block in fs/ext4/ext4.h
_COMPAT, _INCOMPAT, _RO_COMPAT = range(3)
_BITS = {
    "has_journal": (_COMPAT, 0x4),
    "fast_commit": (_COMPAT, 0x400),
    "extent": (_INCOMPAT, 0x40),
    "inline_data": (_INCOMPAT, 0x8000),
    "bigalloc": (_RO_COMPAT, 0x200),
}


def _read(mounted: Mounted) -> Iterator[str]:
    """The features of the superblock, by the names that mke2fs has for them; and, where the kernel's ext4 drives it, the
    options in force, defaults of the superblock included, and whether there is a journal in use."""
    with open(mounted.device, "rb") as device:
        device.seek(_SUPERBLOCK_BYTE + _FEATURES_BYTE)
        words = struct.unpack("<3I", device.read(12))
    yield from (f"made with {'' if words[word] & bit else '^'}{name}" for name, (word, bit) in _BITS.items())
    options, journal = (Path(place, mounted.kernel_name) for place in ("/proc/fs/ext4", "/sys/fs/ext4"))
    if (options := options / "options").exists():
        spelled = {"nobarrier": "barrier=0"}
        yield from (f"mounted with {spelled.get(each, each)}" for each in options.read_text().split())
    if (journal := journal / "journal_task").exists() and journal.read_text() == "<none>\n":
        yield "running without a journal"


def _extended(
    name: str,
    usual: int,
    features: frozenset[str],
    *,
    quotas: dict[str, Quota] | None = None,
    recovery: Recovery | None = None,
) -> Filesystem:
    """`-m 0`: no blocks kept back for root and the flusher; `-b 4096`: mke2fs picks 1 KiB blocks below 512 MiB
    (kernel-facts). e2fsck: bits 1 and 2 of the exit code mean corrected, 4 left uncorrected (e2fsck(8)).
    """
    return Filesystem(
        name=name,
        mkfs=(
            f"mkfs.{name}",
            "-q",
            "-F",
            "-b",
            "4096",
            "-m",
            "0",
            "-E",
            "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
        ),
        check=Check(("e2fsck", "-f", "-n")),
        package="e2fsprogs",
        size_mib=64,
        usual=usual,
        features=features,
        quotas=quotas or {},
        words=_WORDS,
        few_inodes=("-N", "256"),
        signatures=frozenset({"ext2", "ext3", "ext4"}),  # blkid goes by the features that mkfs was asked for
        recovery=recovery,
        reading=_read,
        takes=_TAKES,
        possible=_EVERYTHING if "journal" in features else features,
        unjournalled=_E2FSCK,
    )


EXT4 = _extended(
    "ext4",
    1,
    _EVERYTHING,
    quotas={
        "user": Quota(("-O", "quota"), ("usrquota",), module=_FORMAT, kernel_symbol=_OF_THE_FORMAT),
        "project": Quota(("-O", "quota,project"), ("prjquota",), module=_FORMAT, kernel_symbol=_OF_THE_FORMAT),
    },
)
ROWS = (
    EXT4,
    _extended("ext3", 0, _JOURNALS),
    _extended("ext2", 5, _OVERWRITES, recovery=_E2FSCK),
    EXT4.variant("1k", mkfs=("-b", "1024"), block_bytes=1024),
    EXT4.variant("bigalloc", mkfs=("-O", "bigalloc", "-C", "16384"), without=frozenset({"collapse"})),
    EXT4.variant("nodelalloc", mount=("nodelalloc",)),
    EXT4.variant("data-journal", mount=("data=journal",)),
    EXT4.variant("inline", mkfs=("-O", "inline_data")),
    EXT4.variant("indirect", mkfs=("-O", "^extent,^64bit"), without=_OF_EXTENTS),
    EXT4.variant("nojournal", mkfs=("-O", "^has_journal"), without=frozenset({"journal"})),
    EXT4.variant("fast-commit", mkfs=("-O", "fast_commit")),
    EXT4.variant("writeback", mount=("data=writeback",)),
)

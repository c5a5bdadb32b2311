"""btrfs. The addresses that FIEMAP gives are its own and not the device's, and it keeps checksums of data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torture.filesystems.base import ON_DISK, RANGES, READ_ONLY, UNFLUSHED, Check, Filesystem, Quota
from torture.filesystems.mounted import Mounted
from torture.filesystems.words import FEATURES, LABEL, UUID, Words

_PROFILE = "single dup raid(0|1|1c3|1c4|5|6|10)"
_WORDS = Words(  # mkfs.btrfs(8), btrfs(5)
    {
        **dict.fromkeys(("-f", "--force", "-K", "--nodiscard", "-M", "--mixed", "-q", "--quiet", "-v", "--verbose"), ""),
        **dict.fromkeys(("-b", "--byte-count", "-n", "--nodesize", "-s", "--sectorsize"), "#"),
        **dict.fromkeys(("-d", "--data", "-m", "--metadata"), _PROFILE),
        **dict.fromkeys(("--csum", "--checksum"), "crc32c xxhash sha256 blake2"),
        **dict.fromkeys(("-L", "--label"), LABEL),
        **dict.fromkeys(("-O", "--features", "-R", "--runtime-features"), FEATURES),
        **dict.fromkeys(("-U", "--uuid"), UUID),
    },
    "(no)?acl (no)?autodefrag (no)?barrier clear_cache commit=# compress(-force)?(=[a-z]+(:[0-9]+)?)? (no)?datacow"
    " (no)?datasum degraded discard(=(a?sync))? nodiscard (no)?enospc_debug (no)?flushoncommit"
    " fragment=(data|metadata|all) nologreplay max_inline=# metadata_ratio=# norecovery rescan_uuid_tree"
    " rescue=[a-z:]+ ref_verify skip_balance space_cache(=v[12])? nospace_cache (no)?ssd (no)?ssd_spread thread_pool=#"
    " (no)?treelog usebackuproot user_subvol_rm_allowed (no)?inode_cache recovery",
)


def _read(mounted: Mounted) -> Iterator[str]:
    for device in Path("/sys/fs/btrfs").glob(f"*/devices/{mounted.kernel_name}"):
        yield from (f"made with {feature.name}" for feature in sorted((device.parents[1] / "features").iterdir()))


BTRFS = Filesystem(
    name="btrfs",
    mkfs=("mkfs.btrfs", "-q", "-f", "-K"),
    check=Check(("btrfs", "check", "--readonly")),
    package="btrfs-progs",
    size_mib=128,
    usual=3,
    features=RANGES | ON_DISK | {"unwritten", "reflink", "snapshot", "reserves", "journal", "gives-up"},
    quotas={  # a qgroup knows no users (btrfs-qgroup(8)): all of the top subvolume is limited
        "subvolume": Quota(
            commands=(
                ("btrfs", "quota", "enable", "{mount_point}"),
                ("btrfs", "quota", "rescan", "-w", "{mount_point}"),
                ("btrfs", "qgroup", "limit", "{bytes}", "{mount_point}"),
            )
        )
    },
    words=_WORDS,
    reading=_read,
    # Without copies of data there are no checksums of it either, but fsync still is one: that takes nothing away.
    takes={**READ_ONLY, "mounted with nobarrier": UNFLUSHED},
    few_inodes=(),  # inodes live in metadata, and run out with it
    xattr_bytes=15_000,  # nearly a leaf (nodesize 16 KiB, mkfs.btrfs(8))
)
ROWS = (
    BTRFS,
    BTRFS.variant("nodatacow", mount=("nodatacow",)),
    BTRFS.variant("compress", mount=("compress-force=zlib",)),
)

"""btrfs. The addresses that FIEMAP gives are its own and not the device's, and it keeps checksums of data."""

from __future__ import annotations

from torture.filesystems.base import ON_DISK, RANGES, Check, Filesystem, Quota

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
    few_inodes=(),  # inodes live in metadata, and run out with it
    xattr_bytes=15_000,  # nearly a leaf (nodesize 16 KiB, mkfs.btrfs(8))
)
ROWS = (
    BTRFS,
    BTRFS.variant("nodatacow", mount=("nodatacow",)),
    BTRFS.variant("compress", mount=("compress-force=zlib",)),
)

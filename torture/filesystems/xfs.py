"""xfs. Not here: always_cow is a debugging knob (/sys/fs/xfs/debug) of kernels built with CONFIG_XFS_DEBUG."""

from __future__ import annotations

from torture.filesystems.base import ON_DISK, RANGES, Check, Filesystem, Quota

_QUOTAS_OF_THE_KERNEL = "/proc/fs/xfs/xqm"
"""fs/xfs/xfs_stats.c, CONFIG_XFS_QUOTA."""

XFS = Filesystem(
    name="xfs",
    mkfs=("mkfs.xfs", "-q", "-f", "-K"),
    check=Check(("xfs_repair", "-n", "-f")),
    package="xfsprogs",
    size_mib=300,
    usual=2,
    features=RANGES
    | ON_DISK
    | {"unwritten", "collapse", "reflink", "reserves", "journal", "shutdown", "extents", "in-place", "raw-data"},
    quotas={
        "user": Quota(mount=("uquota",), module="xfs", kernel_file=_QUOTAS_OF_THE_KERNEL),
        "project": Quota(mount=("pquota",), module="xfs", kernel_file=_QUOTAS_OF_THE_KERNEL),
    },
    few_inodes=("-i", "maxpct=1"),
    copy_options=("nouuid",),
)
ROWS = (
    XFS,
    XFS.variant("reflink", mkfs=("-m", "reflink=1")),
    XFS.variant("noreflink", mkfs=("-m", "reflink=0"), without=frozenset({"reflink"})),
    XFS.variant("1k", mkfs=("-b", "size=1024"), block_bytes=1024),
    XFS.variant("extsize", mkfs=("-d", "extszinherit=4")),
)

"""f2fs: a log, so what is stored goes to new sectors. Preallocated blocks are allocated, not unwritten."""

from __future__ import annotations

from torture.filesystems.base import ON_DISK, RANGES, Check, Filesystem, Quota

F2FS = Filesystem(
    name="f2fs",
    mkfs=("mkfs.f2fs", "-q", "-f", "-t", "0"),
    check=Check(("fsck.f2fs", "--dry-run", "-f"), complaint="[Fail]"),  # 1.15 exits 0 whatever it finds
    package="f2fs-tools",
    size_mib=96,
    usual=4,
    features=RANGES | ON_DISK | {"collapse", "reserves", "journal", "shutdown", "extents", "raw-data", "gives-up"},
    quotas={
        "user": Quota(("-O", "extra_attr,quota"), ("usrquota",), module="quota_v2", kernel_symbol="v2_check_quota_file")
    },
)
ROWS = (
    F2FS,
    F2FS.variant("lfs", mount=("mode=lfs",)),
    F2FS.variant("noinline", mount=("noinline_data",)),
)

"""f2fs: a log, so what is stored goes to new sectors. Preallocated blocks are allocated, not unwritten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torture.filesystems.base import ON_DISK, RANGES, READ_ONLY, UNFLUSHED, Check, Filesystem, Quota
from torture.filesystems.mounted import Mounted
from torture.filesystems.words import ERRORS, FEATURES, LABEL, UUID, Words

_NO_CHECKPOINTS = "mounted with checkpoint=disable"
"""An unmount leaves what was there at the mount (Documentation/filesystems/f2fs.rst). mountinfo adds numbers."""
_WORDS = Words(  # mkfs.f2fs(8), Documentation/filesystems/f2fs.rst
    {
        **dict.fromkeys(("-f", "-i", "-m", "-q", "-r"), ""),
        **dict.fromkeys(("-a", "-t"), "[01]"),
        **dict.fromkeys(("-d", "-o", "-s", "-w", "-z"), "#"),
        **dict.fromkeys(("-e", "-E"), "[a-z0-9]+"),
        "-C": "utf8(:strict)?",
        "-l": LABEL,
        "-O": FEATURES,
        "-R": "[0-9]+:[0-9]+",
        "-U": UUID,
    },
    "background_gc=(on|off|sync) (no)?gc_merge disable_roll_forward norecovery (no)?discard (no_)?heap (no)?user_xattr"
    " (no)?acl active_logs=[246] (no)?inline_(xattr|data|dentry) inline_xattr_size=# (no)?flush_merge (no)?barrier fastboot"
    " (no)?extent_cache age_extent_cache data_flush reserve_root=# res[gu]id=# mode=(adaptive|lfs|fragment:(segment|block))"
    f" (usr|grp|prj)quota (no)?quota alloc_mode=(default|reuse) fsync_mode=(posix|strict|nobarrier) {ERRORS}"
    " checkpoint=(enable|disable(:[0-9]+%?)?) (no)?checkpoint_merge compress_algorithm=[a-z0-9]+(:[0-9]+)?"
    " compress_log_size=# compress_(extension|mode)=[a-z0-9]+ compress_(chksum|cache) inlinecrypt atgc"
    " discard_unit=(block|segment|section) memory=(normal|low) io_bits=# jqfmt=(vfsold|vfsv[01])"
    " whint_mode=(off|user-based|fs-based)",
)


def _read(mounted: Mounted) -> Iterator[str]:
    features = Path("/sys/fs/f2fs", mounted.kernel_name, "features")
    if features.exists():
        yield from (f"made with {feature}" for feature in features.read_text().replace(",", " ").split())
    if any(option.startswith("checkpoint=disable") for option in mounted.options):
        yield _NO_CHECKPOINTS


F2FS = Filesystem(
    name="f2fs",
    mkfs=("mkfs.f2fs", "-q", "-f", "-t", "0"),
    check=Check(("fsck.f2fs", "--dry-run", "-f"), complaint="[Fail]"),  # 1.15 exits 0 whatever it finds
    package="f2fs-tools",
    size_mib=96,
    usual=4,
    features=RANGES | ON_DISK | {"collapse", "reserves", "journal", "shutdown", "extents", "raw-data", "gives-up"},
    words=_WORDS,
    reading=_read,
    takes={
        **READ_ONLY,
        "mounted with nobarrier": UNFLUSHED,
        "mounted with fsync_mode=nobarrier": frozenset({"sync promise"}),
        "mounted with disable_roll_forward": frozenset({"sync promise"}),
        _NO_CHECKPOINTS: frozenset({"store promise", "sync promise"}),
    },
    quotas={
        "user": Quota(("-O", "extra_attr,quota"), ("usrquota",), module="quota_v2", kernel_symbol="v2_check_quota_file")
    },
)
ROWS = (
    F2FS,
    F2FS.variant("lfs", mount=("mode=lfs",)),
    F2FS.variant("noinline", mount=("noinline_data",)),
)

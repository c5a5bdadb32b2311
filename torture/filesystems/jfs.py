"""jfs: its journal is replayed in user space, and it has no FIEMAP."""

from __future__ import annotations

from torture.filesystems.base import ON_DISK, READ_ONLY, Check, Filesystem, Recovery
from torture.filesystems.words import ERRORS, LABEL, Words

ROWS = (
    Filesystem(
        name="jfs",
        mkfs=("mkfs.jfs", "-q"),
        check=Check(("jfs_fsck", "-n", "-f")),
        package="jfsutils",
        size_mib=32,
        usual=6,
        words=Words(  # mkfs.jfs(8), mount(8)
            {"-L": LABEL, "-O": "", "-q": "", "-s": "#"},
            f"iocharset=[a-z0-9-]+ (no)?integrity {ERRORS} (no)?quota (usr|grp)quota discard(=#)? nodiscard",
        ),
        takes=READ_ONLY,
        features=ON_DISK | {"journal", "gives-up"},
        # jfs_fsck 1.1.15 cannot replay what Linux 6.1 logged, not even a plain write and fsync (LOGREDO error 274),
        # discards the journal and calls the result clean: see docs/kernel-behaviour.md.
        recovery=Recovery(("jfs_fsck", "-v", "-p"), recovered=(0, 1), failure="logredo failed"),
        unrecoverable="jfs_fsck cannot replay the journal of this kernel, so the kernel cannot be judged",
    ),
)

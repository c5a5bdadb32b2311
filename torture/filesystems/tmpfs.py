"""tmpfs lives in memory: there is nothing to make or to check."""

from __future__ import annotations

import errno

from torture.filesystems.base import READ_ONLY, Check, Filesystem
from torture.filesystems.words import Words

ROWS = (
    Filesystem(
        name="tmpfs",
        mkfs=("true",),
        check=Check(("true",)),
        package="coreutils",
        size_mib=32,
        mount_options=("size=32m",),
        words=Words(  # tmpfs(5); it is memory of the machine, so its size stays below a gigabyte
            mount="size=[0-9]{1,3}[kKmM] nr_inodes=# huge=(never|always|within_size|advise) inode(32|64) noswap [ug]id=#"
        ),
        takes=READ_ONLY,
        features=frozenset({"keep-size", "punch", "reserves"}),
        volatile=True,
        # A read fault of a hole allocates and charges the page (mm/shmem.c, shmem_get_folio_gfp), so that mlock
        # of a full tmpfs fails: EFAULT of the populate, which mlock turns into ENOMEM (mm/mlock.c).
        excused_pin_errnos=frozenset({errno.ENOMEM, errno.EFAULT}),
    ),
)

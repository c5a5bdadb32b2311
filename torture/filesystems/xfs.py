"""xfs. Not here: always_cow is a debugging knob (/sys/fs/xfs/debug) of kernels built with CONFIG_XFS_DEBUG."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator

from torture.filesystems.base import ON_DISK, RANGES, READ_ONLY, Check, Filesystem, Quota
from torture.filesystems.mounted import Mounted
from torture.filesystems.words import LABEL, UUID, Words
from verify.descriptors import opened

_QUOTAS_OF_THE_KERNEL = "/proc/fs/xfs/xqm"
"""fs/xfs/xfs_stats.c, CONFIG_XFS_QUOTA."""

_WORDS = Words(  # mkfs.xfs(8), xfs(5)
    {
        **dict.fromkeys(("-f", "-K", "-q"), ""),
        **dict.fromkeys(("-b", "-s"), "size=#"),
        "-d": "(agcount|agsize|size|sunit|swidth|su|sw|sectsize|extszinherit|cowextsize|daxinherit)=# noalign",
        "-i": "(perblock|size|maxpct|attr|projid32bit|sparse|nrext64|exchange)=#",
        "-l": "(agnum|size|version|sunit|su|sectsize|lazy-count)=# internal(=1)?",
        "-L": LABEL,
        "-m": f"(crc|finobt|rmapbt|reflink|inobtcount|bigtime|autofsck)=[01] uuid={UUID}",
        "-n": "size=# version=(2|ci) (ftype|parent)=[01]",
        "-r": "extsize=#",
    },
    "(allocsize|logbufs|logbsize|sunit|swidth)=# (no)?attr2 (no)?discard (no)?grpid bsdgroups sysvgroups filestreams"
    " (no)?ikeep inode(32|64) (no)?largeio (no)?barrier noalign norecovery nouuid (no)?quota ([ugp]|usr|grp|prj)quota"
    " [ugp]?qnoenforce swalloc wsync (no)?lifetime dax(=(always|never|inode))?",
)
_GEOMETRY, _GEOMETRY_BYTES = 0x8100587E, 256
"""XFS_IOC_FSGEOMETRY and struct xfs_fsop_geom (fs/xfs/libxfs/xfs_fs.h)."""
_FLAGS_BYTE, _REFLINK = 92, 1 << 20


def _read(mounted: Mounted) -> Iterator[str]:
    with opened(mounted.place) as descriptor:
        geometry = fcntl.ioctl(descriptor, _GEOMETRY, bytes(_GEOMETRY_BYTES))
    (flags,) = struct.unpack_from("=I", geometry, _FLAGS_BYTE)
    yield f"made with reflink={int(bool(flags & _REFLINK))}"


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
    words=_WORDS,
    few_inodes=("-i", "maxpct=1"),
    copy_options=("nouuid",),
    reading=_read,
    takes={**READ_ONLY, "made with reflink=0": frozenset({"reflink"})},
)
ROWS = (
    XFS,
    XFS.variant("reflink", mkfs=("-m", "reflink=1")),
    XFS.variant("noreflink", mkfs=("-m", "reflink=0"), without=frozenset({"reflink"})),
    XFS.variant("1k", mkfs=("-b", "size=1024"), block_bytes=1024),
    XFS.variant("extsize", mkfs=("-d", "extszinherit=4")),
)

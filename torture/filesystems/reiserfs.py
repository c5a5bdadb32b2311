"""reiserfs. It has no FIEMAP."""

from __future__ import annotations

from torture.filesystems.base import ON_DISK, READ_ONLY, UNFLUSHED, Check, Filesystem
from torture.filesystems.words import LABEL, UUID, Words

_WORDS = Words(  # mkreiserfs(8), mount(8)
    {
        **dict.fromkeys(("-f", "--force", "-q", "--quiet"), ""),
        **dict.fromkeys(("-b", "--block-size", "-s", "--journal-size", "-t", "--transaction-max-size"), "#"),
        **dict.fromkeys(("-h", "--hash"), "rupasov tea r5"),
        **dict.fromkeys(("-l", "--label"), LABEL),
        **dict.fromkeys(("-u", "--uuid"), UUID),
        "--format": "3[.][56]",
    },
    "conv hash=(rupasov|tea|r5|detect) hashed_relocation no_unhashed_relocation (no)?border nolog notail"
    " tails=(on|off|small) (no)?user_xattr (no)?acl barrier=(none|flush) data=(journal|ordered|writeback) commit=#"
    " errors=(continue|ro-remount) (usr|grp)quota",
)

ROWS = (
    Filesystem(
        name="reiserfs",
        mkfs=("mkfs.reiserfs", "-q", "-f", "-f"),
        check=Check(("reiserfsck", "--check", "-y", "-q")),
        package="reiserfsprogs",
        size_mib=64,
        words=_WORDS,
        takes={
            **READ_ONLY,
            "mounted with barrier=none": UNFLUSHED,
            "mounted with data=writeback": frozenset({"order promise"}),
        },
        features=ON_DISK | {"journal", "gives-up"},
    ),
)

"""Options to draw from, by the type of the filesystem: of the manual pages, what the allow-list of the row has.

Of the alternatives between two semicolons one is drawn, so that contradictions are rarer than sense. Of the words for `-O`
and its like several may be drawn, and are joined by commas. What cannot be had together is refused by mkfs or mount, which
is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OptionWords:
    """Those of one type: alternatives separated by blanks, between semicolons."""

    features: Mapping[str, str] = field(default_factory=dict)
    """By the option that they stand behind."""
    mkfs: str = ""
    """Whole options; an underscore stands for the blank between an option and its value."""
    mount: str = ""


def alternatives(text: str) -> list[list[str]]:
    """What stands between the semicolons, word by word."""
    return [words for words in map(str.split, text.split(";")) if words]


FLAGS = "noatime relatime strictatime lazytime; nodiratime; sync; dirsync; rw rw rw rw rw rw rw ro"
"""Of all filesystems."""
_MKE2FS = """
    -b_1024 -b_2048 -b_4096; -I_128 -I_256 -I_512 -I_1024; -i_4096 -i_65536; -N_512 -N_4096; -g_8192 -g_4096; -m_1 -m_5;
    -T_small -T_news -T_largefile -T_largefile4 -T_floppy -T_huge -T_default; -e_continue -e_remount-ro; -D; -K; -L_label;
    -U_random -U_clear -U_time; -r_1; -v
"""
_MKE2FS_EXTENDED = """
    stride=4,stripe_width=16; packed_meta_blocks=1; test_fs; num_backup_sb=0 num_backup_sb=2; root_owner=7:7;
    no_copy_xattrs; discard; resize=1000000; hash_seed=01234567-89ab-cdef-0123-456789abcdef; lazy_itable_init=1
"""
_EXT2_FEATURES = """
    ^resize_inode; ^large_file; ^filetype; ^ext_attr; ^dir_index; ^sparse_super sparse_super2; meta_bg,^resize_inode
"""
_EXT2_MOUNT = """
    bsddf minixdf; grpid nogrpid bsdgroups sysvgroups; nouid32; resuid=1; resgid=1; errors=continue errors=remount-ro;
    debug; noreservation reservation; noquota; nocheck check=none
"""
_EXT3_MOUNT = f"""
    {_EXT2_MOUNT}; data=journal data=ordered data=writeback; data_err=abort data_err=ignore; norecovery noload;
    barrier=0 barrier=1 nobarrier barrier; commit=1 commit=30 commit=300; discard nodiscard
"""
WORDS: Mapping[str, OptionWords] = {
    "ext4": OptionWords(  # mke2fs(8), ext4(5)
        features={
            "-O": f"""
                {_EXT2_FEATURES}; ^has_journal; ^extent,^64bit; ^64bit; ^metadata_csum metadata_csum_seed; ^flex_bg;
                bigalloc; inline_data; fast_commit; ea_inode; large_dir; ^dir_nlink; ^extra_isize; ^huge_file; uninit_bg;
                quota; project,quota; mmp; encrypt; verity; casefold; stable_inodes
            """,
            "-E": f"{_MKE2FS_EXTENDED}; lazy_journal_init=1",
        },
        mkfs=f"{_MKE2FS}; -G_4 -G_64; -O_bigalloc_-C_8192 -O_bigalloc_-C_65536; -J_size=4 -J_size=16",
        mount=f"""
            {_EXT3_MOUNT}; nojournal_checksum; journal_async_commit,data=writeback journal_async_commit,data=journal;
            journal_checksum; inode_readahead_blks=1; stripe=16; delalloc nodelalloc; max_batch_time=0; min_batch_time=1000;
            journal_ioprio=0; i_version; auto_da_alloc noauto_da_alloc; init_itable init_itable=1 noinit_itable; nombcache;
            block_validity noblock_validity; dioread_lock dioread_nolock nodioread_nolock; max_dir_size_kb=1024;
            prefetch_block_bitmaps no_prefetch_block_bitmaps; mb_optimize_scan=0 mb_optimize_scan=1; acl noacl; dax=never;
            user_xattr nouser_xattr; inlinecrypt; usrquota prjquota; warn_on_error nowarn_on_error; bh nobh
        """,
    ),
    "ext3": OptionWords(  # mke2fs(8), ext3(5)
        features={"-O": f"{_EXT2_FEATURES}; ^has_journal; extent", "-E": _MKE2FS_EXTENDED},
        mkfs=f"{_MKE2FS}; -J_size=4 -J_size=16",
        mount=_EXT3_MOUNT,
    ),
    "ext2": OptionWords(  # mke2fs(8), ext2(5)
        features={"-O": _EXT2_FEATURES, "-E": _MKE2FS_EXTENDED}, mkfs=f"{_MKE2FS}; -j", mount=_EXT2_MOUNT
    ),
    "xfs": OptionWords(  # mkfs.xfs(8), xfs(5)
        features={
            "-m": "crc=0; crc=0,finobt=0; finobt=0; rmapbt=1 rmapbt=0; reflink=0 reflink=1; inobtcount=0; bigtime=0",
            "-i": "size=512 size=1024 size=2048; maxpct=5; attr=2; sparse=0 sparse=1; nrext64=1; perblock=8",
            "-d": """
                agcount=1 agcount=2 agcount=8; agsize=64m; sunit=64,swidth=128; su=32k,sw=2; noalign;
                extszinherit=4 extszinherit=16; cowextsize=8; daxinherit=1; sectsize=512 sectsize=4096
            """,
            "-l": "size=64m size=80m; version=2; sunit=16 su=32k; lazy-count=1; internal=1; agnum=0",
            "-n": "size=4096 size=8192 size=65536; version=2 version=ci; ftype=1",
        },
        mkfs="-b_size=1024 -b_size=2048 -b_size=4096 -b_size=512_-m_crc=0; -s_size=512 -s_size=4096; -r_extsize=64k",
        mount="""
            allocsize=64k allocsize=1m; logbufs=2 logbufs=8; logbsize=16k logbsize=32k logbsize=256k; wsync; attr2 noattr2;
            discard nodiscard; grpid nogrpid bsdgroups sysvgroups; filestreams; ikeep noikeep; inode32 inode64;
            largeio nolargeio; nobarrier; noalign; norecovery; nouuid; swalloc; noquota;
            quota usrquota prjquota uqnoenforce; sunit=64,swidth=128; dax=never dax=inode
        """,
    ),
    "btrfs": OptionWords(  # mkfs.btrfs(8), btrfs(5)
        features={
            "-O": """
                mixed-bg; ^extref; ^skinny-metadata; ^no-holes no-holes; raid1c34; zoned; quota;
                ^free-space-tree free-space-tree; block-group-tree
            """,
        },
        mkfs="""
            -M; -n_4096 -n_16384 -n_65536; -s_4096 -s_8192; -d_single -d_dup -d_raid1; -m_single -m_dup
            -m_raid0; --csum_crc32c --csum_xxhash --csum_sha256 --csum_blake2; -L_label; -b_114294784; -K
        """,
        mount="""
            acl noacl; autodefrag noautodefrag; barrier nobarrier; clear_cache; commit=1 commit=300; degraded;
            compress compress=zlib compress=lzo compress=zstd:3 compress-force=lzo compress-force=zstd compress=no;
            datacow nodatacow; datasum nodatasum; discard discard=sync discard=async nodiscard;
            enospc_debug; flushoncommit noflushoncommit; max_inline=0
            max_inline=2048; nologreplay; metadata_ratio=2; norecovery; rescan_uuid_tree; rescue=nologreplay
            rescue=all; ref_verify; skip_balance; space_cache=v1 space_cache=v2 nospace_cache; ssd nossd
            ssd_spread nossd_spread; thread_pool=1; treelog notreelog; usebackuproot; user_subvol_rm_allowed
        """,
    ),
    "f2fs": OptionWords(  # mkfs.f2fs(8), Documentation/filesystems/f2fs.rst
        features={
            "-O": """
                encrypt; extra_attr; extra_attr,project_quota; extra_attr,inode_checksum;
                extra_attr,inode_crtime; extra_attr,flexible_inline_xattr; lost_found; verity; sb_checksum;
                casefold; quota; ro; extra_attr,compression
            """,
        },
        mkfs="""
            -i; -a_0 -a_1; -t_1; -o_10 -o_20; -s_1 -s_2; -z_1 -z_2; -w_512 -w_4096; -l_label; -d_1; -C_utf8
            -C_utf8:strict; -e_mp4; -E_txt; -R_7:7; -r; -m
        """,
        mount="""
            background_gc=on background_gc=off background_gc=sync; gc_merge nogc_merge; disable_roll_forward;
            norecovery; discard nodiscard; heap no_heap; user_xattr nouser_xattr; acl noacl; data_flush;
            active_logs=2 active_logs=4 active_logs=6; inline_xattr noinline_xattr; inline_data noinline_data;
            inline_dentry noinline_dentry; flush_merge noflush_merge; barrier nobarrier; fastboot; atgc;
            extent_cache noextent_cache; reserve_root=32; mode=adaptive mode=lfs mode=fragment:block; usrquota;
            alloc_mode=default alloc_mode=reuse; fsync_mode=posix fsync_mode=strict fsync_mode=nobarrier;
            errors=continue errors=remount-ro; checkpoint=enable checkpoint=disable checkpoint=disable:10%;
            checkpoint_merge nocheckpoint_merge; compress_algorithm=lz4 compress_algorithm=zstd;
            compress_extension=txt; compress_log_size=2; compress_mode=fs compress_mode=user; compress_chksum;
            compress_cache; inlinecrypt; discard_unit=block discard_unit=segment; memory=normal memory=low;
            age_extent_cache; inline_xattr_size=64
        """,
    ),
    "jfs": OptionWords(  # mkfs.jfs(8), mount(8)
        mkfs="""
            -L_label; -O; -s_1 -s_4
        """,
        mount="""
            iocharset=utf8 iocharset=iso8859-1; integrity nointegrity; errors=continue errors=remount-ro; quota
            noquota usrquota; discard discard=8 nodiscard
        """,
    ),
    "reiserfs": OptionWords(  # mkreiserfs(8), mount(8)
        mkfs="""
            -b_4096 -b_1024 -b_8192; -s_513 -s_1024; -h_r5 -h_tea -h_rupasov; -l_label; --format_3.5
            --format_3.6
        """,
        mount="""
            conv; hash=rupasov hash=tea hash=r5 hash=detect; hashed_relocation no_unhashed_relocation; noborder;
            nolog; notail tails=on tails=off tails=small; user_xattr nouser_xattr; acl noacl; barrier=none
            barrier=flush; data=journal data=ordered data=writeback; commit=1 commit=30; errors=continue
            errors=ro-remount; usrquota
        """,
    ),
    "tmpfs": OptionWords(  # tmpfs(5)
        mount="""
            size=16m size=48m; nr_inodes=1k; huge=never huge=always huge=within_size huge=advise; inode32
            inode64; noswap; uid=7; gid=7
        """,
    ),
}

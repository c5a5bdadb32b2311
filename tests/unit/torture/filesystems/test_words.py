"""A plan formats and mounts its own device alone: words that name files or devices, or stop a kernel, pass nowhere."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from torture.cli import cli
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.filesystems import FILESYSTEMS
from torture.filesystems.words import check_words
from torture.plan import FilePlan, Plan
from torture.plan_check import read_plan
from workloads.plan import Op, WorkerPlan

PLAN = Plan(
    seed=1,
    filesystem="ext4",
    files=(FilePlan(1, "1-hole", "hole", 4),),
    workers=(WorkerPlan(1, 1, "1-hole", 0, 4, "mlock", "store", (Op("store", 0, 4),)),),
)
MKFS_ATTACKS = {
    "btrfs": [
        "/dev/loop0",
        "loop0",
        "--rootdir /etc",
        "--rootdir=/etc",
        "--rootd=/etc",
        "-r /etc",
        "-r/etc",
        "-qr /etc",
        "--shrink",
        "-- /dev/loop0",
        "-L x /dev/loop0",
        "-L /dev/loop0",
        "-n",
        "-O list-all",
    ],
    "ext4": [
        "-d /etc",
        "-d etc",
        "-d/etc",
        "-J device=/dev/loop0",
        "-J device=LABEL=x",
        "-J size=4,device=/dev/loop0",
        "-z undo",
        "-l list",
        "-e panic",
        "-t ext2",
        "-n",
        "-S",
        "-c",
        "-E offset=4096",
        "-E nodiscard,offset=4096",
        "-E root_selinux=x",
        "-qFd etc",
        "-O journal_dev",
        "-M /home",
        "128",
    ],
    "xfs": [
        "-p proto",
        "-l logdev=/dev/loop0",
        "-l internal,logdev=loop0",
        "-l name=log",
        "-l file,name=log",
        "-r rtdev=/dev/loop0",
        "-d name=/etc/passwd",
        "-d file,name=x,size=1g",
        "-c options=/etc/x",
        "-N",
    ],
    "f2fs": ["-c /dev/loop0", "-c loop0", "-c/dev/loop0", "-g android", "1024"],
    "jfs": ["-j /dev/loop0", "-J device=/dev/loop0", "-J journal_dev", "-c"],
    "reiserfs": ["-j /dev/loop0", "--journal-device=/dev/loop0", "-o 0", "-B bad", "-d", "-V"],
    "tmpfs": ["-q", "/dev/loop0"],
}
MOUNT_ATTACKS = {
    "ext4": [
        "errors=panic",
        "journal_dev=0x801",
        "journal_path=/dev/loop0",
        "usrjquota=a",
        "abort",
        "data=journal,errors=panic",
    ],
    "xfs": ["logdev=/dev/loop0", "logdev=loop0", "rtdev=loop0"],
    "btrfs": ["device=/dev/loop0", "device=loop0", "fatal_errors=panic", "fatal_errors=bug", "subvol=../..", "compress=/"],
    "f2fs": ["errors=panic", "usrjquota=x", "fault_injection=1"],
    "jfs": ["errors=panic", "resize=4"],
    "reiserfs": ["jdev=/dev/loop0", "errors=panic", "resize=9999"],
    "tmpfs": ["size=100%", "size=1T", "mpol=bind:0"],
}
EVERYWHERE = [
    "remount",
    "bind",
    "rbind",
    "suid",
    "dev",
    "exec",
    "loop",
    "loop=/dev/loop0",
    "offset=4",
    "x-mount.mkdir",
    "noatime\0",
    "",
]
MKFS = [(fs, words) for fs, attacks in MKFS_ATTACKS.items() for words in attacks]
MOUNT = [(fs, word) for fs, attacks in MOUNT_ATTACKS.items() for word in (*attacks, *EVERYWHERE)]


@pytest.mark.parametrize(("fs", "words"), MKFS)
def test_a_plan_cannot_have_mkfs_touch_anything_else(fs: str, words: str) -> None:
    for name in (name for name, row in FILESYSTEMS.items() if row.type == fs):
        plan = replace(PLAN, filesystem=name, mkfs_options=tuple(words.split(" ")))
        with pytest.raises(BadRequest, match=f"mkfs_options: mkfs of {name} does not get"):
            read_plan(plan.to_json())


@pytest.mark.parametrize(("fs", "word"), MOUNT)
def test_a_plan_cannot_have_mount_touch_anything_else(fs: str, word: str) -> None:
    with pytest.raises(BadRequest, match=f"mount_options: mount of {fs} does not get"):
        read_plan(replace(PLAN, filesystem=fs, mount_options=("noatime", word)).to_json())


@pytest.mark.parametrize("fs", FILESYSTEMS)
def test_the_words_of_the_rows_themselves_are_allowed(fs: str) -> None:
    row = FILESYSTEMS[fs]
    places = ("mkfs", "mount")
    check_words(fs, row.words, row.mkfs[1:], (*row.mount_options, *row.copy_options), places)
    check_words(fs, row.words, row.few_inodes or (), (), places)
    for quota in row.quotas.values():
        check_words(fs, row.words, quota.mkfs, quota.mount, places)


@pytest.mark.parametrize(
    ("fs", "mkfs", "mount"),
    [
        (
            "ext4",
            "-b1024 -O ^has_journal,metadata_csum -E stride=4,nodiscard -m 0.5",
            "barrier=0,data=writeback,commit=1,ro",
        ),
        ("xfs", "-m reflink=0,crc=1 -d agcount=2 -l size=16m,version=2", "sync,logbsize=64k,noatime,dax=never"),
        ("btrfs", "--csum=xxhash -O^no-holes -d single --nodesize 16384", "compress=zstd:3,flushoncommit,lazytime"),
        ("f2fs", "-O extra_attr,compression -R 0:0", "mode=fragment:block,checkpoint=disable:10%"),
    ],
)
def test_plain_words_stay_allowed(fs: str, mkfs: str, mount: str) -> None:
    plan = replace(PLAN, filesystem=fs, mkfs_options=tuple(mkfs.split()), mount_options=tuple(mount.split(",")))
    assert read_plan(plan.to_json()) == plan


def test_users_get_no_other_words_either() -> None:
    for mkfs, mount in ((("/dev/loop0",), ()), ((), ("errors=panic",))):
        with pytest.raises(BadRequest, match="does not get"):
            Request({"filesystem": ("ext4",)}, mkfs_options=mkfs, mount_options=mount)
    for words in (
        ["plan", "--fs", "ext4", "--mkfs-options", "-d /etc"],
        ["run", "--fs", "xfs", "--mount-options", "logdev=loop0"],
        ["compare", "--fs", "ext4", "--mkfs-options-a", "-q", "--mkfs-options-b", "-J device=loop0"],
        ["compare", "--fs", "ext4", "--mount-options-b", "errors=panic"],
    ):
        done = CliRunner().invoke(cli, words)
        assert isinstance(done.exception, BadRequest) and "does not get" in str(done.exception), words


def test_a_stranger_reads_which_word_it_is() -> None:
    raw = json.loads(PLAN.to_json()) | {"filesystem": "btrfs", "mkfs_options": ["-q", "/dev/loop0"]}
    with pytest.raises(BadRequest) as caught:
        read_plan(json.dumps(raw))
    assert str(caught.value).startswith("mkfs_options: mkfs of btrfs does not get '/dev/loop0'; allowed are -f, --force")

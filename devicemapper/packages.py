"""Which Debian 12 package brings a program, for messages about missing ones. One row per program."""

from __future__ import annotations

PACKAGES = {
    "blkid": "util-linux",
    "blockdev": "util-linux",
    "dmesg": "util-linux",
    "dmsetup": "dmsetup",
    "fio": "fio",
    "linux.uml": "user-mode-linux",
    "losetup": "mount",
    "modprobe": "kmod",
    "udevadm": "udev",
    "wipefs": "util-linux",
}

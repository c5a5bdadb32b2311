"""Which Debian 12 package brings a program, for messages about missing ones. One row per program."""

from __future__ import annotations

PACKAGES = {
    "blkid": "util-linux",
    "busybox": "busybox-static",
    "dmsetup": "dmsetup",
    "fio": "fio",
    "linux.uml": "user-mode-linux",
    "losetup": "mount",
    "modprobe": "kmod",
    "qemu-system-x86_64": "qemu-system-x86",
}

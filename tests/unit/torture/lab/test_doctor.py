"""What doctor says of a lab: everything that cannot be had has its reason, told once for all it holds for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torture.lab import sandbox
from torture.lab.base import GuestLost
from torture.lab.doctor import LabReport, examine, render

CAPABILITIES = {
    "kernel": "6.1",
    "filesystems": {"ext4": "", "jfs": "mkfs.jfs is not installed"},
    "faults": {
        "none": {"ext4": "", "ext4:1k": "", "btrfs": ""},
        "shutdown": {"ext4": "", "ext4:1k": "", "btrfs": "btrfs has no shutdown ioctl"},
        "dust": dict.fromkeys(("ext4", "ext4:1k", "btrfs"), "the kernel has no dm-dust"),
    },
    "layouts": {"reflinked": {"ext4": "ext4 has no reflink", "ext4:1k": "ext4:1k has no reflink", "btrfs": ""}},
    "disturbances": {"freeze": {}},
}


def test_every_reason_is_told_once() -> None:
    assert render([LabReport("uml", "", CAPABILITIES), LabReport("local", "needs root")], {"fio": "fio"}) == (
        "missing program fio: apt-get install fio\n"
        "\n"
        f"{sandbox.what_holds()}\n"
        "\n"
        "lab uml: kernel 6.1\n"
        "  filesystem ext4: yes\n"
        "  filesystem jfs: not here: mkfs.jfs is not installed\n"
        "  fault none: yes\n"
        "  fault shutdown: yes; not on btrfs: has no shutdown ioctl\n"
        "  fault dust: not here: the kernel has no dm-dust\n"
        "  layout reflinked: yes; not on ext4: has no reflink\n"
        "  disturbance freeze: not here: there is no filesystem to try it on\n"
        "\n"
        "lab local: cannot run: needs root\n"
    )


def test_a_guest_that_is_lost_while_it_is_asked_makes_its_lab_unavailable() -> None:
    ended = []

    def probe() -> None:
        raise GuestLost("no answer for 120 s", "", Path("console"), hung=True)

    guest = SimpleNamespace(probe=probe, end=lambda: ended.append(True))
    lab: Any = SimpleNamespace(name="uml", unavailable=lambda: "", boot=lambda index: guest)
    (report,) = examine([lab])
    assert report.unavailable.startswith("no answer for 120 s") and ended == [True]

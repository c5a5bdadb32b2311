"""The whole guest is killed, every process of it, and a fresh one boots on the same disk.

Unlike a cut by dm-flakey this also ends the kernel at an arbitrary instruction. What the guest had submitted to its
disk is in the host's file; what was in its page cache is gone.
"""

from __future__ import annotations

from pathlib import Path

from torture.faults.base import Fault, Proof
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene
from verify import ledger

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KEPT = "killed-guest"


class KilledGuest(Fault):
    """Everything not yet on the disk when it strikes is gone, and so is the kernel."""

    name = "killed-guest"
    meaning = "every process of the guest is killed, and a fresh one boots on the same disk"
    may_lose_unsynced = True
    readable_warm = False

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """Only a guest may be killed."""
        return "" if machine.expendable else "this kernel is no guest that could be killed"

    def strike(self, scene: Scene) -> None:
        """Does not return. The ledger is told first: a sync that ends after this proves nothing."""
        scene.ledger.append(ledger.Swap("the guest is killed"))
        scene.ledger.append(ledger.Struck(self.name, crash=True))
        (scene.directory / _KEPT).write_text(_BOOT_ID.read_text())
        scene.cut_power()

    def proof(self, scene: Scene) -> Proof:
        """It fired when this is another boot."""
        before, now = (scene.directory / _KEPT).read_text().strip(), _BOOT_ID.read_text().strip()
        return Proof(before != now, f"boot id {before} before, {now} after")

"""Shutdown: the filesystem is told to stop at once, as after an error that it cannot survive.

The ioctl is 0x8004587D with a u32 (XFS_IOC_GOINGDOWN, fs/xfs/libxfs/xfs_fs.h; EXT4_IOC_SHUTDOWN; F2FS_IOC_SHUTDOWN).
"""

from __future__ import annotations

import errno
import fcntl
import struct
from collections.abc import Mapping
from typing import ClassVar

from torture.errors import StepFailed
from torture.faults.base import SHUT_DOWN, Fault, Parameter, Proof
from torture.rig.scene import Scene
from verify import ledger
from verify.descriptors import opened

_SHUTDOWN = 0x8004587D
_DEAD = (errno.EIO, errno.EROFS, errno.ESHUTDOWN)


class Shutdown(Fault):
    """What no sync had vouched for may be lost; everything else must survive the next mount."""

    name = "shutdown"
    meaning = "the shutdown ioctl, then unmount and mount"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "flags": Parameter(2, 0, 2, "0: freeze and sync first, 1: write the log first, 2: write nothing (as a crash)")
    }
    needs = ("shutdown",)
    may_lose_unsynced = True
    readable_warm = False
    moments: ClassVar[tuple[str, ...]] = ("end", "middle", "late")
    excused_errnos = SHUT_DOWN

    _proof = Proof(False, "it was not struck")

    def strike(self, scene: Scene) -> None:
        """Shut down. The ledger is told first: a sync that ends after this proves nothing."""
        flags = self.values["flags"]
        scene.ledger.append(ledger.Swap(f"shutdown {flags}"))
        scene.ledger.append(ledger.Struck(self.name, crash=True))
        try:
            with opened(scene.mount_point) as descriptor:
                fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("=I", flags))
        except OSError as error:
            raise StepFailed("shutdown ioctl", str(error)) from error
        self._proof = _probe(scene)

    def proof(self, scene: Scene) -> Proof:
        """It fired when the filesystem refused to make a file afterwards."""
        return self._proof


def _probe(scene: Scene) -> Proof:
    path = scene.mount_point / "probe"
    try:
        path.touch()
    except OSError as error:
        return Proof(error.errno in _DEAD, f"a new file is refused: {error.strerror}")
    return Proof(False, "a new file could still be made")

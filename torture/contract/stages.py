"""Stages: the block stack, mkfs and end that a group of experiments shares. One class of `STAGES` each.

A stage never touches the experiments' files: it makes the machine ready after they were made, strikes when all have
acted, and mends before the mount that they are judged on. `engine` calls the steps in that order.
"""

from __future__ import annotations

import os
from abc import ABC
from typing import ClassVar

from devicemapper.table import Table
from devicemapper.targets import Flakey, Linear
from torture.contract.quota import impose, user_quota
from torture.errors import StepFailed
from torture.faults.power.dropping import DroppedWrites, flakey_table
from torture.filesystems import Filesystem
from torture.rig.ballast import fill
from torture.rig.machine import Machine, load_module, target_missing
from torture.rig.scene import Scene


class Stage(ABC):
    """`privileged`: experiments act in the engine's own process, as root, and may reach for the scene; otherwise in one
    process without rights, which is killed after `strike`. `crash`: the filesystem is cut off, not unmounted in order.
    """

    name: ClassVar[str]
    target: ClassVar[str] = ""
    privileged: ClassVar[bool] = False
    crash: ClassVar[bool] = False

    def missing(self, row: Filesystem, machine: Machine) -> str:
        """Why the stage cannot be had, "" if it can."""
        return target_missing(self.target, machine) if self.target else ""

    def mkfs_options(self, row: Filesystem) -> tuple[str, ...]:
        """For mkfs, besides the row's."""
        return ()

    def mount_options(self, row: Filesystem) -> tuple[str, ...]:
        """For mount, besides the row's."""
        return ()

    def table(self, disk: str, length_sectors: int) -> Table:
        """Of the dm device, where the lab has device-mapper."""
        return Table.single(Linear(disk, 0), length_sectors)

    def ready(self, scene: Scene, machine: Machine) -> None:
        """After the files were made and synced. StepFailed if the machine cannot be made ready."""
        return

    def strike(self, scene: Scene) -> None:
        """After the experiments acted, while they still have everything mapped."""
        return

    def mend(self, scene: Scene) -> None:
        """After the unmount. StepFailed if the strike proves not to have worked."""
        return


class Plain(Stage):
    """Room enough, unmounted in order."""

    name = "plain"


class Full(Stage):
    """Filled to the last block."""

    name = "full"

    def ready(self, scene: Scene, machine: Machine) -> None:
        ballast = fill(scene, 0)
        if not ballast.probe():
            raise StepFailed("fill", f"{ballast.probe_blocks} more blocks were accepted; {ballast.summary}")


class PowerCut(Stage):
    """dm-flakey drops all writes from the strike on: what the disk has then is what is mounted again."""

    name = "power-cut"
    target = "flakey"
    crash = True

    _dropped: DroppedWrites

    def table(self, disk: str, length_sectors: int) -> Table:
        return flakey_table(disk, length_sectors)

    def strike(self, scene: Scene) -> None:
        """A file that is made and synced now must be dropped: that proves the cut, whatever the unmount writes."""
        self._dropped = DroppedWrites(scene, flakey_table(str(scene.disk), scene.length_sectors, Flakey.DROP_WRITES))
        descriptor = os.open(scene.mount_point / "after-the-cut", os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.write(descriptor, b"dropped")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def mend(self, scene: Scene) -> None:
        assert scene.mapped is not None
        self._dropped.stop_counting()
        scene.mapped.swap_table(self.table(str(scene.disk), scene.length_sectors))
        proof = self._dropped.proof()
        if not proof.fired:
            raise StepFailed("power cut", proof.evidence)


class FailingWrites(Stage):
    """Experiments exchange the table for one that refuses writes, for as long as they need."""

    name = "eio"
    target = "flakey"
    privileged = True


class Freeze(Stage):
    """Experiments freeze and thaw."""

    name = "freeze"
    privileged = True


class Quota(Stage):
    """The user who stores is over the hard limit."""

    name = "quota"

    def missing(self, row: Filesystem, machine: Machine) -> str:
        wanted = user_quota(row)
        if wanted is None:
            return f"{row.name} keeps no quota of its own: it would take quota files made by quotacheck(8)"
        if row.name != row.type:
            return f"quota is tried on {row.type} without further options"
        if wanted.module:
            load_module(wanted.module, machine.modules)
        return ""

    def mkfs_options(self, row: Filesystem) -> tuple[str, ...]:
        wanted = user_quota(row)
        return wanted.mkfs if wanted else ()

    def mount_options(self, row: Filesystem) -> tuple[str, ...]:
        wanted = user_quota(row)
        return wanted.mount if wanted else ()

    def ready(self, scene: Scene, machine: Machine) -> None:
        if wanted := user_quota(scene.filesystem):
            impose(wanted, scene, machine)


STAGES: tuple[Stage, ...] = (Plain(), Full(), PowerCut(), FailingWrites(), Freeze(), Quota())

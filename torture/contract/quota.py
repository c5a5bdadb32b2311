"""How the stage `quota` puts a user over quota: quotactl(2) for user quotas, qgroups for btrfs."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devicemapper import tools
from torture.errors import StepFailed
from torture.rig import quota
from torture.rig.machine import Machine
from torture.rig.scene import Scene
from workloads.children import in_child

_COMMAND_TIMEOUT_S = 30
_LIMIT_KIB = 4
_PROBE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Limit:
    """What a filesystem needs for its quota to be kept and enforced, and how the limit is set."""

    set_limit: Callable[[Scene, Machine], None]
    mkfs_options: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    module: str = ""

    def impose(self, scene: Scene, machine: Machine) -> None:
        """Give the files to the user, and the user a limit that is reached. StepFailed if it does not bite."""
        files = scene.mount_point / "files"
        for path in (files, *files.iterdir()):
            os.chown(path, machine.uid, machine.gid)
        _sync(files)
        try:
            self.set_limit(scene, machine)
        except OSError as error:
            raise StepFailed("set the quota", str(error)) from error
        failed = in_child(lambda: _write_as(machine, files / "probe"))
        if failed != errno.EDQUOT:
            raise StepFailed("quota", f"a write over the limit gave errno {failed} instead of EDQUOT")


def _write_as(machine: Machine, path: Path) -> int:
    """The errno that the user gets for writing more than the limit."""
    os.setgroups([])
    os.setgid(machine.gid)
    os.setuid(machine.uid)
    try:
        with open(path, "wb", buffering=0) as probe:
            probe.write(b"\xa5" * _PROBE_BYTES)
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno or 0
    return 0


def _limit_user(scene: Scene, machine: Machine) -> None:
    quota.limit(scene.block_device, quota.Kind.USER, machine.uid, _LIMIT_KIB)


def _limit_qgroup(scene: Scene, machine: Machine) -> None:
    """The whole top subvolume: a qgroup knows no users (btrfs-qgroup(8))."""
    mount_point = str(scene.mount_point)
    tools.run(["btrfs", "quota", "enable", mount_point], _COMMAND_TIMEOUT_S)
    tools.run(["btrfs", "quota", "rescan", "-w", mount_point], _COMMAND_TIMEOUT_S)
    tools.run(["btrfs", "qgroup", "limit", str(_LIMIT_KIB << 10), mount_point], _COMMAND_TIMEOUT_S)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


LIMITS: dict[str, Limit] = {
    "ext4": Limit(_limit_user, ("-O", "quota"), ("usrquota",), "quota_v2"),
    "xfs": Limit(_limit_user, mount_options=("uquota",)),
    "f2fs": Limit(_limit_user, ("-O", "extra_attr,quota"), ("usrquota",), "quota_v2"),
    "btrfs": Limit(_limit_qgroup),
}

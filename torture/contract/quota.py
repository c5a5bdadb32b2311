"""How the stage `quota` puts a user over quota: by quotactl(2), or with the commands of the filesystem's row."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from devicemapper import tools
from torture.errors import StepFailed
from torture.filesystems.base import Filesystem, Quota
from torture.rig import quota
from torture.rig.machine import Machine
from torture.rig.scene import Scene
from verify.descriptors import opened
from workloads.children import in_child

_COMMAND_TIMEOUT_S = 30
_LIMIT_KIB = 4
_PROBE_BYTES = 1 << 16


def user_quota(row: Filesystem) -> Quota | None:
    """Of a user, or of all that is mounted where a quota knows no users."""
    return row.quotas.get("user") or row.quotas.get("subvolume")


def impose(wanted: Quota, scene: Scene, machine: Machine) -> None:
    """Give the files to the user, and the user a limit that is reached. StepFailed if it does not bite."""
    files = scene.mount_point / "files"
    for path in (files, *files.iterdir()):
        os.chown(path, machine.uid, machine.gid)
    _sync(files)
    try:
        _limit(wanted, scene, machine)
    except OSError as error:
        raise StepFailed("set the quota", str(error)) from error
    failed = in_child(lambda: _write_as(machine, files / "probe"))
    if failed != errno.EDQUOT:
        raise StepFailed("quota", f"a write over the limit gave errno {failed} instead of EDQUOT")


def _limit(wanted: Quota, scene: Scene, machine: Machine) -> None:
    for words in wanted.commands:
        filled = (word.format(mount_point=scene.mount_point, bytes=_LIMIT_KIB << 10) for word in words)
        tools.run(list(filled), _COMMAND_TIMEOUT_S)
    if not wanted.commands:
        quota.limit(scene.block_device, quota.Kind.USER, machine.uid, _LIMIT_KIB)


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


def _sync(directory: Path) -> None:
    with opened(directory) as descriptor:
        os.fsync(descriptor)

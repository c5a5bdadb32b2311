"""EDQUOT by a quota group: the top subvolume may use less than it does, so that nobody gets another block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from devicemapper import tools
from torture.faults.base import Options, Parameter
from torture.faults.space.over_quota import OverQuota
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene

_TIMEOUT_S = 30.0
_LIMIT_BYTES = 4096


class EdquotQgroup(OverQuota):
    """A qgroup knows no users (btrfs-qgroup(8)): the files stay root's."""

    name = "edquot-qgroup"
    meaning = "the subvolume of the files is over its quota"
    parameters: ClassVar[Mapping[str, Parameter]] = {}

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """Needs subvolumes that keep quotas by themselves."""
        return "" if row.has("qgroups") else f"{row.name} keeps no quotas of this kind"

    def options(self, row: Filesystem) -> Options:
        """None: it is enabled by an ioctl."""
        return Options()

    def owner(self, scene: Scene) -> int:
        """Everybody may make files, as the proof does."""
        (scene.mount_point / "files").chmod(0o777)
        return 0

    def arm(self, scene: Scene) -> None:
        """Enable quotas, count, and limit."""
        self.owner(scene)
        mount_point = str(scene.mount_point)
        tools.run(["btrfs", "quota", "enable", mount_point], _TIMEOUT_S)
        tools.run(["btrfs", "quota", "rescan", "-w", mount_point], _TIMEOUT_S)
        tools.run(["btrfs", "qgroup", "limit", str(_LIMIT_BYTES), mount_point], _TIMEOUT_S)

    def relent(self, scene: Scene) -> None:
        """There are no warnings of such quotas."""

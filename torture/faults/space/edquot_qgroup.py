"""EDQUOT by the quota of a subvolume: it may use less than it does, so that nobody gets another block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from devicemapper import tools
from torture.faults.base import Options, Parameter
from torture.faults.space.over_quota import OverQuota
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene

KIND = "subvolume"
_TIMEOUT_S = 30.0
_LIMIT_BYTES = 4096


class EdquotQgroup(OverQuota):
    """Whoever owns the files; what the row says enables and sets it."""

    name = "edquot-qgroup"
    meaning = "the subvolume of the files is over its quota"
    parameters: ClassVar[Mapping[str, Parameter]] = {}

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """Only some filesystems keep such quotas."""
        return "" if KIND in row.quotas else f"{row.name} keeps no quotas of this kind"

    def options(self, row: Filesystem) -> Options:
        """None: it is enabled when it is mounted."""
        return Options()

    def owner(self, scene: Scene) -> int:
        """Everybody may make files, as the proof does."""
        scene.files_directory.chmod(0o777)
        return 0

    def arm(self, scene: Scene) -> None:
        """Enable quotas, count, and limit."""
        self.owner(scene)
        values = {"mount_point": str(scene.mount_point), "bytes": str(_LIMIT_BYTES)}
        for command in scene.filesystem.quotas[KIND].commands:
            tools.run([word.format(**values) for word in command], _TIMEOUT_S)

    def before_reading(self, scene: Scene) -> None:
        """There are no warnings of such quotas."""

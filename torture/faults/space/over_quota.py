"""Shared by the faults that put the workers' files over quota: limits, the kernel's warnings, and the proof."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar

from torture.errors import NotRun, StepFailed
from torture.faults.base import Fault, Options, Parameter, Proof
from torture.filesystems import Filesystem
from torture.rig import quota
from torture.rig.machine import Machine
from torture.rig.quota import Kind, QuotaWarnings, limit, used_bytes
from torture.rig.scene import Scene
from workloads.children import in_child

_SIGNS = ("store SIGBUS", "store EFAULT", "sync EDQUOT", "sync ENOSPC")
_REFUSED = (errno.EDQUOT, errno.ENOSPC)
"""xfs says ENOSPC for a project over its limit (xfs_trans_dqresv() in fs/xfs/xfs_trans_dquot.c)."""
_PROBE_BLOCKS = 64


class OverQuota(Fault, ABC):
    """The owner of the files may use `free_blocks` blocks more than the layout took. To a store that is ENOSPC."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(4, 0, 1 << 20, "filesystem blocks that the quota leaves")
    }
    kind: ClassVar[Kind]

    _warnings: QuotaWarnings

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """Only some filesystems keep such quotas, and not on every kernel."""
        return quota.missing(row, cls.kind, machine)

    def options(self, row: Filesystem) -> Options:
        """Quotas kept and enforced."""
        wanted = row.quotas[self.kind.name.lower()]
        return Options(wanted.mkfs, wanted.mount)

    @abstractmethod
    def owner(self, scene: Scene) -> int:
        """Give the files to a user or project; returns its number."""

    def arm(self, scene: Scene) -> None:
        """Limit the owner of the files to what they take now, and a few blocks."""
        self._warnings = scene.running.enter_context(QuotaWarnings())
        try:
            owner = self.owner(scene)
            os.sync()
            used = used_bytes(scene.block_device, self.kind, owner)
            more = self.values["free_blocks"] * scene.filesystem.block_bytes
            limit(scene.block_device, self.kind, owner, max(1, (used + more) >> 10))
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.ENOSYS, errno.EOPNOTSUPP):
                raise NotRun(f"{scene.filesystem.name} keeps no quotas on this kernel: {error}") from error
            raise StepFailed("set the quota", str(error)) from error
        scene.note(f"quota: {self.kind.name.lower()} {owner} uses {used >> 10} KiB and may use {more >> 10} KiB more")

    def before_reading(self, scene: Scene) -> None:
        """Nothing is lifted; what the kernel said is kept."""
        for warning, times in Counter(self._warnings.come()).items():
            scene.note(f"{times} x quota warning {warning.code} for {Kind(warning.kind).name.lower()} {warning.owner}")

    def proof(self, scene: Scene) -> Proof:
        """It fired when a store or sync was refused, or when a probe write of the owner is refused now."""
        seen = [f"{count} x {what}" for what, count in scene.refusals.items() if what in _SIGNS]
        if seen:
            return Proof(True, ", ".join(seen))
        failed = in_child(lambda: _write_as_worker(scene))
        said = errno.errorcode.get(failed, "no error")
        return Proof(failed in _REFUSED, f"a probe write of {_PROBE_BLOCKS} blocks gave {said}")


def _write_as_worker(scene: Scene) -> int:
    """The errno that a worker's user gets for writing beyond the limit; the probe is removed again."""
    os.setgroups([])
    os.setgid(scene.gid)
    os.setuid(scene.uid)
    path = scene.files_directory / "probe"
    try:
        with open(path, "wb", buffering=0) as probe:
            for _ in range(_PROBE_BLOCKS):
                probe.write(os.urandom(scene.filesystem.block_bytes))
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno or 0
    finally:
        path.unlink(missing_ok=True)
    return 0

"""RLIMIT_FSIZE: the workers may neither write nor grow files beyond a size; stores into a mapping are not limited by it."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torture.faults.base import Fault, Options, Parameter, Proof
from torture.filesystems import Filesystem
from torture.rig.scene import Scene
from workloads import libc, limits
from workloads.children import in_child


class FsizeLimit(Fault):
    """setrlimit(2): write and truncate beyond the limit fail with EFBIG, once SIGXFSZ is ignored."""

    name = "fsize-limit"
    meaning = "RLIMIT_FSIZE of the workers is below the size of their files"
    parameters: ClassVar[Mapping[str, Parameter]] = {"kib": Parameter(0, 0, 1 << 40, "the limit in KiB")}

    def options(self, row: Filesystem) -> Options:
        """In force whenever a worker touches its file."""
        return Options(fsize_bytes=self.values["kib"] << 10)

    def proof(self, scene: Scene) -> Proof:
        """It fired when a process with this limit cannot grow a file beyond it."""
        probe = scene.mount_point / "probe"
        failed = in_child(lambda: _grow_beyond(probe, self.values["kib"] << 10))
        probe.unlink(missing_ok=True)
        refused = sum(count for what, count in scene.refusals.items() if what == "store EFBIG")
        said = errno.errorcode.get(failed, "no error")
        return Proof(failed == errno.EFBIG, f"growing a file beyond the limit gave {said}; {refused} stores were refused")


def _grow_beyond(path: Path, limit_bytes: int) -> int:
    limits.set_fsize(limit_bytes)
    with limits.fsize_in_force(), open(path, "wb", buffering=0) as probe:
        return libc.errno_of(lambda: os.truncate(probe.fileno(), limit_bytes + 1))

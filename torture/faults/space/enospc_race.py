"""ENOSPC that comes and goes: another process takes all free blocks and gives them back while the workers store."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torture.faults.base import Parameter, Proof
from torture.faults.space.enospc import SIGNS, Enospc
from torture.rig.ballast import fill
from torture.rig.scene import Scene
from workloads.children import Child

_BLOCKS_AT_ONCE = 4
_TALLY = "rival"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class EnospcRace(Enospc):
    """Near full, with a rival for the blocks that are left. What it was refused proves that they were contested."""

    name = "enospc-race"
    meaning = "another process fills and frees the last blocks while workers store"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(24, 1, 1 << 20, "filesystem blocks that workers and rival fight for"),
        "hold_ms": Parameter(2, 0, 10_000, "how long the rival keeps what it took, and then leaves it free"),
    }

    def arm(self, scene: Scene) -> None:
        """Fill, leave `free_blocks` blocks, and let the rival at them until the workers are done."""
        self._ballast = fill(scene, self.values["free_blocks"])
        scene.note(self._ballast.summary)
        tally, path = scene.directory / _TALLY, scene.mount_point / "ballast" / "rival"
        tally.touch()
        rival = Child(lambda: _contend(path, tally, self._ballast.block_bytes, self.values["hold_ms"]))
        scene.running.callback(rival.end)

    def proof(self, scene: Scene) -> Proof:
        """It fired when the rival filled the filesystem while the workers worked."""
        times = (scene.directory / _TALLY).stat().st_size
        refused = sum(count for what, count in scene.refusals.items() if what in SIGNS)
        return Proof(times > 0, f"the rival was refused {times} times, the workers {refused} times")


def _contend(path: Path, tally: Path, block_bytes: int, hold_ms: int) -> int:
    """Take all there is, keep it, give it back, again and again until killed; a byte of `tally` is one refusal."""
    content = os.urandom(_BLOCKS_AT_ONCE * block_bytes)
    with open(tally, "ab", buffering=0) as refusals:
        while True:
            try:
                with open(path, "wb", buffering=0) as taken:
                    while True:
                        taken.write(content)
                        os.fdatasync(taken.fileno())
            except OSError as error:
                if error.errno not in _FULL:
                    return error.errno or 0
                refusals.write(b".")
            time.sleep(hold_ms / 1000)
            path.unlink(missing_ok=True)
            time.sleep(hold_ms / 1000)

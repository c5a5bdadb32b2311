"""Growth after the remount: files that end within a page are extended, which shows what was persisted past their end."""

from __future__ import annotations

import os
from functools import partial

from torture.faults.base import Fault
from torture.rig.scene import Scene
from verify.ledger import Altered, Resize
from workloads import libc

_NOBODY = 0
"""In the ledger: no worker, they have all ended."""


class Grown(Fault):
    """Extended bytes are zeros (truncate(2)), whatever a program stored there through a mapping (mmap(2))."""

    name = "grown"
    meaning = "after the remount files are extended to whole pages"

    def remounted(self, scene: Scene) -> None:
        """Extend the files of the plan that are not whole pages."""
        for file in scene.plan.files:
            path, wanted = scene.mount_point / "files" / file.name, file.pages * scene.plan.page_bytes
            if not path.exists() or path.stat().st_size % scene.plan.page_bytes == 0:
                continue
            scene.ledger.append(Resize(_NOBODY, file.file, wanted))
            scene.ledger.append(Altered(_NOBODY, libc.errno_of(partial(os.truncate, path, wanted))))

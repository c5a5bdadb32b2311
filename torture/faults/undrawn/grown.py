"""Growth after the remount: files that end within a page are extended, which shows what was persisted past their end."""

from __future__ import annotations

import os

from torture.faults.base import Fault
from torture.rig.scene import Scene
from verify.ledger import Resize


class Grown(Fault):
    """Extended bytes are zeros (truncate(2)), whatever a program stored there through a mapping (mmap(2))."""

    name = "grown"
    meaning = "after the remount files are extended to whole pages"

    def remounted(self, scene: Scene) -> None:
        """Extend the files of the plan that are not whole pages. The ledger has no end of it: what was read warm, with the
        old size, is judged by the same ledger.
        """
        for file in scene.plan.files:
            path, wanted = scene.files_directory / file.name, file.pages * scene.plan.page_bytes
            if not path.exists() or path.stat().st_size % scene.plan.page_bytes == 0:
                continue
            scene.ledger.append(Resize(-file.file, file.file, wanted))  # of no worker
            os.truncate(path, wanted)

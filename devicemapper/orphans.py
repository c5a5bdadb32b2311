"""A filesystem that was frozen when its last mount went: nobody can reach it, and it keeps its block device for ever.

Freezing takes a reference to the superblock (freeze_super() in fs/super.c) that only thawing gives back, and only what is
mounted can be thawed. Mounting the device again finds that same superblock.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from devicemapper import mounts, namespaces, tools

_PROBE_TIMEOUT_S = 20.0


def thaw(device: Path) -> bool:
    """Thaw what is on a device that is mounted nowhere; False if it holds nothing that is frozen."""
    probe = ["blkid", "-p", "-o", "value", "-s", "TYPE", str(device)]
    kind = tools.run(probe, _PROBE_TIMEOUT_S, ok=(0, 2, 8)).stdout.strip()
    return bool(kind) and namespaces.apart(lambda: _mount_and_thaw(device, kind))


def _mount_and_thaw(device: Path, kind: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="torture-thaw-") as name:
        place = Path(name)
        try:
            with mounts.mount(device, place, kind):
                return mounts.thaw(place)
        except mounts.MountFailed:
            return False

"""A write of the tool's own, after the workers, where theirs may not have needed what a fault withholds."""

from __future__ import annotations

import errno
import os

from torture.rig.scene import Scene

_CHUNK_BYTES = 4 << 20


def write_probe(scene: Scene, length_bytes: int) -> str:
    """Write a file of up to so many bytes, syncing as it grows; the name of the errno that it met, "" if all went well."""
    content = os.urandom(_CHUNK_BYTES)
    try:
        with open(scene.mount_point / "probe", "wb", buffering=0) as probe:
            for _ in range(-(-length_bytes // _CHUNK_BYTES)):
                probe.write(content)
                os.fsync(probe.fileno())
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""

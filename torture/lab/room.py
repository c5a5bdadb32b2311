"""Whether something can be written where a run is to write, asked before anything else is made there.

Scratch directories may be writable by everybody, so the probe has no name that others could take first, or point at
another file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from torture.errors import BrokenTool

PROBE_BYTES = 1 << 20


def probe_room(directory: Path) -> None:
    """Write PROBE_BYTES to a file of `directory`, which is made if it is not there, that nobody sees (O_TMPFILE of open(2);
    where the filesystem has none, one that O_EXCL made and that is unlinked at once). BrokenTool if that fails."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory, buffering=0) as probe:
            left = memoryview(bytes(PROBE_BYTES))
            while left:
                left = left[probe.write(left) :]
    except OSError as error:
        raise BrokenTool(
            f"cannot write to {directory}: {error.strerror}", "free some space there or give another --results"
        ) from error

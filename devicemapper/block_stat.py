"""What the block layer has counted of a device since it exists, for proofs that writes were dropped, refused or delayed."""

from __future__ import annotations

import os
from pathlib import Path


def block_stat(block_device: Path) -> tuple[int, ...]:
    """The fields of Documentation/block/stat.rst, from 0: 2 sectors read, 4 writes completed, 6 sectors written, 7
    milliseconds that the writes took together. OSError if there is no such device."""
    number = block_device.stat().st_rdev
    text = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat").read_text()
    return tuple(map(int, text.split()))

"""Runs fio's mmap engine: stores blocks with a checksum through a mapping of a file, then verifies them.

fio(1): `verify=crc32c` puts a header with a CRC32C into every block of `bs` bytes; `do_verify` reads all of them back
through the mapping after the writes, as a phase of its own that is reported as reads.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIGABYTE = 1e9


@dataclass(frozen=True, slots=True)
class Rates:
    """Gigabytes (10^9 bytes) a second for storing into a mapping and for checking what was stored."""

    store_gb_s: float
    check_gb_s: float


def command(path: Path, size_bytes: int, block: str, *, written: bool) -> list[str]:
    """The fio command line for one file, whose space is allocated or which is `written` before the clock starts."""
    return [
        "fio",
        "--name=stamps",
        f"--filename={path}",
        f"--size={size_bytes}",
        "--ioengine=mmap",
        "--rw=write",
        f"--bs={block}",
        "--verify=crc32c",
        "--do_verify=1",
        "--verify_fatal=1",
        "--verify_state_save=0",
        f"--overwrite={int(written)}",
        "--output-format=json",
    ]


def measure(path: Path, size_bytes: int, block: str, *, written: bool) -> Rates:
    """Run fio on a new file and remove it. Raises CalledProcessError with fio's own message in `stderr`."""
    path.unlink(missing_ok=True)
    try:
        argv = command(path, size_bytes, block, written=written)
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
    finally:
        path.unlink(missing_ok=True)
    job = json.loads(done.stdout)["jobs"][0]
    return Rates(_rate(job["write"], size_bytes), _rate(job["read"], size_bytes))


def _rate(phase: dict[str, Any], size_bytes: int) -> float:
    """From `runtime` (ms), having made sure that the phase covered the whole file."""
    if phase["io_bytes"] != size_bytes:
        raise ValueError(f"fio moved {phase['io_bytes']} of {size_bytes} bytes")
    return size_bytes / float(phase["runtime"]) * 1000 / GIGABYTE

"""A log of 1 GB of writes walked twice as a replay does, without mounting anything: python -m benchmarks.large_log

The log is made in the format of dm-log-writes, in a temporary directory; the disk is a file there. The first walk
names what is on the disk after each write, the second puts every write on it and names each crash state.
"""

import os
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from benchmarks.goals import Goal
from devicemapper.log_writes import Flag, LogReader
from torture.crash.disk import Contents
from torture.crash.states import CrashState, steps
from verify.stamp import SECTOR_BYTES

LOG_BYTES = 1 << 30
DISK_SECTORS = (300 << 20) // SECTOR_BYTES
WRITE_SECTORS = (8, 8, 8, 64, 256)
WRITES_PER_BARRIER = 24
SAMPLES = 3
WANTED_MB_PER_SECOND = LOG_BYTES / 30 / 1e6
_SUPER, _ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")


def make_log(path: Path) -> int:
    """Write the log; the number of entries."""
    random, count, written = Random(1), 0, 0
    content = os.urandom(max(WRITE_SECTORS) * SECTOR_BYTES * 2)
    with open(path, "wb") as log:
        log.seek(SECTOR_BYTES)
        while written < LOG_BYTES:
            sectors = random.choice(WRITE_SECTORS)
            flags = Flag.FLUSH if count % WRITES_PER_BARRIER == 0 else Flag(0)
            head = _ENTRY.pack(random.randrange(DISK_SECTORS - sectors), sectors, flags, 0)
            start = random.randrange(len(content) // 2)
            log.write(head.ljust(SECTOR_BYTES, b"\0") + content[start : start + sectors * SECTOR_BYTES])
            written += sectors * SECTOR_BYTES
            count += 1
        log.seek(0)
        log.write(_SUPER.pack(0x6A736677736872, 1, count, SECTOR_BYTES))
    return count


def walk(log: LogReader, disk: int | None) -> tuple[float, int]:
    """Seconds of one walk, and the crash states met; with a disk they are named and every write is put on it."""
    began, states, contents = time.perf_counter(), 0, Contents(DISK_SECTORS)
    for step in steps(log.entries(), 0, Random(1), SAMPLES):
        if isinstance(step, CrashState):
            states += 1
            if disk is not None:
                contents.name_with(part for piece in step.extra for part in log.data(piece.entry))
            continue
        for sector, content in log.data(step):
            contents.put(sector, content)
            if disk is not None:
                os.pwrite(disk, content, sector * SECTOR_BYTES)
    return time.perf_counter() - began, states


def main() -> int:
    """Print times, memory and the goal."""
    with tempfile.TemporaryDirectory(prefix="torture-bench-", dir="/var/tmp") as directory:
        path = Path(directory) / "log"
        count = make_log(path)
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with LogReader(path) as log, open(Path(directory) / "disk", "wb") as disk:
            survey_s, states = walk(log, None)
            replay_s, _ = walk(log, disk.fileno())
        grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) >> 10
    print(f"{LOG_BYTES >> 20} MiB in {count} writes, {states} crash states, nothing mounted")
    print(f"first walk {survey_s:.1f} s, second walk, which names the states, {replay_s:.1f} s")
    print(f"memory grew by {grown_mib} MiB")
    print(Goal("both walks of the log", LOG_BYTES / (survey_s + replay_s) / 1e6, WANTED_MB_PER_SECOND, "MB/s"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What follows a crash, for trials and for images alike: recover, read the files cold, ask fsck. Runs in the lab."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from devicemapper import tools
from torture.errors import NotRun
from torture.filesystems import Filesystem, Recovery
from verify.descriptors import opened
from verify.ledger import File
from verify.observation import write_observations
from verify.reader import observe_file

CHECK_TIMEOUT_S = 120.0
FILES = "files"
"""The directory of a filesystem under test that holds its files."""


def recover(recovery: Recovery, device: Path, *, must: bool) -> tuple[str, bool, str]:
    """Run what the kernel leaves to user space: its command line, True, and what it said.

    NotRun when the tool could not do it and the kernel `must` be judged; BlockStackError when the tool gave up on the
    filesystem.
    """
    argv = [*recovery.argv, str(device)]
    done = tools.run(argv, timeout_s=CHECK_TIMEOUT_S, ok=recovery.recovered)
    output = done.stdout + done.stderr
    if must and recovery.failure and recovery.failure in output:
        said = next(line for line in output.splitlines() if recovery.failure in line)
        raise NotRun(f"{argv[0]} could not recover the filesystem ({said.strip()}), so the kernel cannot be judged")
    return " ".join(argv), True, output[-20000:]


def observe(files: Iterable[File], mount_point: Path, directory: Path, read: str, *, run: int, page_bytes: int) -> None:
    """Leave what reading each file shows in `directory`, as `READ-FILE.jsonl`."""
    for record in files:
        observations = observe_file(
            Path(FILES, record.name),
            run=run,
            content_file=record.content_file,
            page_bytes=page_bytes,
            beneath=mount_point,
        )
        write_observations(directory / f"{read}-{record.file}.jsonl", observations)


def check(row: Filesystem, device: Path) -> tuple[str, bool, str]:
    """fsck: its command line, whether the filesystem is clean, and what it said."""
    _take_pending_error(device)
    argv = [*row.check.argv, str(device)]
    done = tools.run(argv, timeout_s=CHECK_TIMEOUT_S, ok=range(256))
    output = done.stdout + done.stderr
    return " ".join(argv), row.check.is_clean(done.exit_code, output), output[-20000:]


def _take_pending_error(device: Path) -> None:
    """A write error of the device that nobody has seen yet is reported to the next one who opens and syncs it
    (errseq_sample() in lib/errseq.c): that must not be fsck, long after the fault was mended (seen with fsck.f2fs)."""
    with opened(device) as descriptor, suppress(OSError):
        os.fsync(descriptor)

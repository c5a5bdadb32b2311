"""What has to run between a crash and the mount, where the kernel does not recover by itself."""

from __future__ import annotations

from pathlib import Path

from devicemapper import tools
from torture.errors import NotRun
from torture.filesystems import Recovery

_TIMEOUT_S = 120.0


def recover(recovery: Recovery, device: Path) -> None:
    """Mend the filesystem on a device as its row says; NotRun when that fails by itself, and says nothing of the
    kernel."""
    done = tools.run([*recovery.argv, str(device)], timeout_s=_TIMEOUT_S, ok=recovery.recovered)
    lines = (done.stdout + done.stderr).splitlines()
    failures = [line.strip() for line in lines if recovery.failure and recovery.failure in line]
    if failures:
        raise NotRun(f"{recovery.argv[0]} could not replay the journal ({failures[0]}): the kernel cannot be judged")

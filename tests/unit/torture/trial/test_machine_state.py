"""Markers in environments, the kernel log, and what is no kernel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from torture.errors import BadRequest
from torture.lab import processes
from torture.lab.run_id import ENVIRONMENT, new_run_id
from torture.lab.uml import UmlLab
from torture.rig.kernel_log import alarms, data_races


def test_processes_are_found_and_ended_by_their_marker_and_no_others() -> None:
    marker = f"{ENVIRONMENT}={new_run_id()}"
    name, _, value = marker.partition("=")
    marked = subprocess.Popen(["sleep", "60"], env={**os.environ, name: value})
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, name: value + "-other"})
    try:
        assert list(processes.tagged(marker)) == [marked.pid]
        assert processes.variable(marked.pid, name) == value
        assert processes.kill_tagged(marker) == 1
        assert marked.wait(5) == -9
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    "line",
    [
        "WARNING: CPU: 0 PID: 33 at fs/iomap/buffered-io.c:983",
        "kernel BUG at fs/ext4/inode.c:2721!",
        "BUG: unable to handle page fault for address",
        "Internal error: Oops: 0002 [#1]",
        "INFO: task umount:812 blocked for more than 120 seconds.",
        "WARNING: possible circular locking dependency detected",
        "EXT4-fs (dm-0): This should not happen!! Data will be lost",
        "Page cache invalidation failure on direct I/O.  Possible data corruption due to collision with buffered I/O!",
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "rcu: INFO: rcu_sched self-detected stall on CPU",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... } 5 jiffies s: 9 root: 0x2/.",
        "BUG: Bad page state in process python3  pfn:01234",
        "BUG: Bad page map in process python3  pte:00000000 pmd:00000000",
    ],
)
def test_the_kernels_own_markers_are_alarms(line: str) -> None:
    assert alarms(["1.0 " + line]) == ["1.0 " + line]


def test_a_filesystem_that_complains_of_a_broken_device_is_no_alarm() -> None:
    said = ["XFS (dm-0): log I/O error -5", "EXT4-fs error (device dm-0): ext4_find_entry", "Buffer I/O error on dev"]
    assert alarms(said) == []


def test_a_loss_that_ext4_announces_on_a_broken_disk_is_no_alarm() -> None:
    """The block that it lacks may have been refused by the fault; without one it is the filesystem's own."""
    said = ["1.0 EXT4-fs (dm-0): This should not happen!! Data will be lost"]
    assert alarms(said, sound_disk=False) == [] and alarms(said) == said


def test_data_races_are_evidence_and_no_alarm() -> None:
    race = "2.0 BUG: KCSAN: data-race in xfs_ilock / xfs_iunlock"
    said = ["1.0 booted", race]
    assert alarms(said) == []
    assert data_races(said) == [f"the kernel reported a data race: {race}"]


@pytest.mark.parametrize("content", [None, b"#!/bin/sh\n", b"text"])
def test_what_is_no_kernel_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "kernel"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadRequest, match="--kernel"):
        UmlLab.check_kernel(str(path))


def test_a_program_that_is_no_kernel_is_refused() -> None:
    with pytest.raises(BadRequest, match="is not a User-mode Linux kernel"):
        UmlLab.check_kernel("/bin/ls")

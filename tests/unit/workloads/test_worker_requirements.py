"""What is missing is found before the trial, with the number needed."""

import resource

from workloads.limits import UNLIMITED, highest_memlock_bytes
from workloads.plan import WorkerPlan
from workloads.requirements import (
    check_memlock,
    check_memory,
    mem_available_bytes,
    memlock_needed,
)

MIB = 1 << 20


def plan(pin: str, pages: int, worker: int = 1) -> WorkerPlan:
    return WorkerPlan(worker, 1, "/x", 0, pages, pin, "store", ())


def test_memlock_is_what_the_greediest_worker_needs() -> None:
    plans = [plan("mlock", 8), plan("none", 100), plan("map-locked", 16)]
    assert memlock_needed(plans, 4096) == 16 * 4096
    assert memlock_needed([plan("none", 100)], 4096) == 0
    assert memlock_needed([], 4096) == 0


def test_a_memlock_limit_that_is_too_small_is_named_with_the_number_needed() -> None:
    assert check_memlock(8192, 8192) == ""
    assert check_memlock(8192, UNLIMITED) == ""
    missing = check_memlock(8192, 8191)
    assert missing == ("RLIMIT_MEMLOCK is too small for the pinned mapping: 8192 bytes needed, 8191 available")


def test_memory_needs_room_to_work_besides_what_is_mapped() -> None:
    assert check_memory(80 * MIB, 122 * MIB) == ""
    missing = check_memory(80 * MIB, 122 * MIB - 1)
    assert missing.endswith(f": {122 * MIB} bytes needed, {122 * MIB - 1} available")
    assert check_memory(0, 0) == ""


def test_reads_mem_available() -> None:
    text = "MemTotal:       24683100 kB\nMemFree:        1 kB\nMemAvailable:   24422704 kB\n"
    assert mem_available_bytes(text) == 24422704 * 1024


def test_the_highest_limit_is_found_without_changing_ours() -> None:
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    assert highest_memlock_bytes() in (UNLIMITED, before[1])
    assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == before

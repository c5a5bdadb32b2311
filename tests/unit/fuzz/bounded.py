"""Runs something in a child that may take only so much memory and time: what a hostile input must not exceed."""

from __future__ import annotations

import os
import pickle
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEMORY_MIB, SECONDS = 256, 20


def bounded(function: Callable[[], Any], memory_mib: int = MEMORY_MIB, seconds: int = SECONDS) -> Any:
    """What `function` returns, or the exception it raises, in a forked child that may allocate `memory_mib` more than it
    has and compute for `seconds`. A child that does not come back is an AssertionError."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            limit = _size_bytes() + (memory_mib << 20)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            resource.setrlimit(resource.RLIMIT_CPU, (_cpu_s() + seconds, _cpu_s() + seconds))
            os.write(writing, pickle.dumps(_outcome(function)))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(pid, 0)
    assert said, f"no answer within {memory_mib} MiB and {seconds} s, status {status}"
    return pickle.loads(said)


def _outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _size_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")


def _cpu_s() -> int:
    return int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + 1

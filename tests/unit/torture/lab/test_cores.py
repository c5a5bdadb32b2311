"""Guests are spread over the cores that this process may use, one core each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torture.lab import run_id as runs
from torture.lab.cores import on_one_core


@contextmanager
def a_guest() -> Iterator[int]:
    """A process with the marker of a guest; yields its core."""
    environment = {**os.environ, f"{runs.ENVIRONMENT}_GUEST": "torture-20260101-000000-abcdef/0"}
    with on_one_core() as core:
        process = subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)
    try:
        assert os.sched_getaffinity(process.pid) == {core}
        yield core
    finally:
        process.kill()
        process.wait()


def test_guests_are_spread_and_the_caller_is_not_bound() -> None:
    allowed = os.sched_getaffinity(0)
    with ExitStack() as held:
        cores = [held.enter_context(a_guest()) for _ in range(2 * len(allowed))]
        others = [held.enter_context(a_guest()) for _ in allowed]
    assert os.sched_getaffinity(0) == allowed
    assert set(cores) | set(others) == allowed

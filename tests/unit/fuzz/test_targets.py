"""Each decoder meets mutations of what it should read: an answer or a sentence, in bounded memory and time.

`python -m tests.unit.fuzz.test_targets NUMBER` gives so many inputs to every target, and says how they ended
(docs/benchmarks.md has figures).
"""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.unit.fuzz.bounded import bounded
from tests.unit.fuzz.inputs import SEEDS, inputs, mutated, seeds
from tests.unit.fuzz.targets import TARGETS, ends

INPUTS = 40
SECONDS_EACH = 10
MEMORY_MIB = 256
_RELAXED = settings(
    max_examples=INPUTS,
    phases=[Phase.generate],
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


def test_every_target_has_seeds_and_every_seed_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_sent_ends_in_an_answer_or_a_sentence(name: str) -> None:
    meeting = Meeting(name)

    def met() -> int:
        for content in seeds(name):
            meeting.one(content)
        assert meeting.ended["an answer"], "all seeds are refused, so that nothing behind the first check is met"
        _RELAXED(given(inputs(name))(meeting.one))()
        return meeting.ended.total()

    told = bounded(met, MEMORY_MIB)
    assert isinstance(told, int) and told >= INPUTS, told


class Meeting:
    """Of one target with many inputs; to be held in a process of its own, whose signals and limits it uses."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.ended = Counter[str]()

    def one(self, content: bytes) -> None:
        """AssertionError for an input that crashes the target, or takes too long."""
        signal.signal(signal.SIGVTALRM, _too_long)
        with tempfile.TemporaryDirectory(prefix="torture-fuzz-") as directory:
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_EACH)
            try:
                self.ended[ends(self._name, content, Path(directory))] += 1
            except Exception as error:
                raise AssertionError(f"{type(error).__name__}: {error}; the input is kept in {keep(content)}") from error
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def figures(name: str, many: int) -> str:
    """How `many` inputs of a target ended, as a row of a table."""
    meeting, random, begin = Meeting(name), Random(name), seeds(name)
    before, began = _peak_mib(), time.process_time()
    for _ in range(many):
        meeting.one(mutated(random, random.choice(begin)))
    how = ", ".join(f"{count} {end}" for end, count in meeting.ended.most_common())
    return f"| {name} | {many} | {time.process_time() - began:.0f} | {_peak_mib() - before} | {how} |"


def keep(content: bytes) -> str:
    """Where an input lies that crashed a target: it is to become a seed."""
    descriptor, name = tempfile.mkstemp(prefix="torture-crash-")
    with open(descriptor, "wb") as kept:
        kept.write(content)
    return name


def _too_long(number: int, frame: FrameType | None) -> None:
    raise AssertionError(f"an input took longer than {SECONDS_EACH} s")


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    for each in sys.argv[2:] or TARGETS:
        told = bounded(partial(figures, each, int(sys.argv[1])), MEMORY_MIB, SECONDS_EACH + int(sys.argv[1]))
        print(told, flush=True)

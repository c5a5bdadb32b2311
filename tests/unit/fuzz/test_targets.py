"""Each decoder meets mutations of what it should read: an answer or a sentence, in bounded memory and time.

TORTURE_FUZZ_INPUTS is the number of inputs of each target (default: a few); docs/benchmarks.md says what many gave.
"""

from __future__ import annotations

import os
import resource
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.unit.fuzz.bounded import bounded
from tests.unit.fuzz.inputs import SEEDS, inputs, seeds
from tests.unit.fuzz.targets import TARGETS, ends

INPUTS = int(os.environ.get("TORTURE_FUZZ_INPUTS", "40"))
SECONDS_EACH = 10
MEMORY_MIB = 256


def test_every_target_has_seeds_and_every_seed_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_sent_ends_in_an_answer_or_a_sentence(name: str) -> None:
    told = bounded(lambda: fuzz(name, INPUTS), MEMORY_MIB, SECONDS_EACH + INPUTS)
    assert isinstance(told, str) and told.startswith("inputs"), told
    print(f"{name}: {told}")


def fuzz(name: str, many: int) -> str:
    """How the inputs of a target ended, in figures. Raises what crashes it."""
    ended: Counter[str] = Counter()

    def one(content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="torture-fuzz-") as directory:
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_EACH)
            try:
                ended[ends(name, content, Path(directory))] += 1
            except Exception as error:
                raise AssertionError(f"{type(error).__name__}: {error}; the input is kept in {keep(content)}") from error
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    relaxed = settings(
        max_examples=many,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=many < 1000,
    )
    signal.signal(signal.SIGVTALRM, _too_long)
    before, began = _peak_kib(), time.process_time()
    for content in seeds(name):
        one(content)
    relaxed(given(inputs(name))(one))()
    how = ", ".join(f"{count} {end}" for end, count in ended.most_common())
    seconds, grew = time.process_time() - began, (_peak_kib() - before) >> 10
    return f"inputs {ended.total()}, {seconds:.1f} s, memory {_peak_kib() >> 10} MiB, of which {grew} for them; {how}"


def keep(content: bytes) -> str:
    """Where an input lies that crashed a target: it is to become a seed."""
    descriptor, name = tempfile.mkstemp(prefix="torture-crash-")
    with open(descriptor, "wb") as kept:
        kept.write(content)
    return name


def _too_long(number: int, frame: FrameType | None) -> None:
    raise AssertionError(f"an input took longer than {SECONDS_EACH} s")


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

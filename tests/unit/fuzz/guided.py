"""`make fuzz`: one target for hours, led by coverage (atheris, which `pip install torture[fuzz]` brings).

`python -m tests.unit.fuzz.guided TARGET SECONDS`. What is new grows in build/fuzz/TARGET; an input that crashes, takes too
long or too much memory is kept there as `crash-...`, `timeout-...` or `oom-...`: it is to become a seed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["verify", "workloads", "devicemapper", "torture"]):
    from tests.unit.fuzz.targets import TARGETS, ends

SEEDS = Path(__file__).with_name("seeds")
GROWN = Path("build/fuzz")
SECONDS_EACH, MEMORY_MIB = 10, 1024


def main(name: str, seconds: str) -> None:
    """Fuzz until the time is over, or something crashes."""
    if name not in TARGETS:
        sys.exit(f"no target {name!r}; allowed are {', '.join(TARGETS)}")
    grown = GROWN / name
    grown.mkdir(parents=True, exist_ok=True)

    def one(content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="torture-fuzz-") as directory:
            ends(name, content, Path(directory))

    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEMORY_MIB}", "-max_len=65536"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={grown}/", str(grown), str(SEEDS / name)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

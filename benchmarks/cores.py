"""What it costs to let a guest roam over the cores: python -m benchmarks.cores

The same trials in turns with every guest on one core, as the uml lab does it, and with guests that the host's scheduler
may put anywhere, with one guest and with one for each core. Times are those of the whole run, guests booting included.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from torture.campaign import execution, run_config
from torture.campaign.run_config import RunConfig
from torture.draw.request import whole_space
from torture.lab import cores, uml
from torture.lab.disk import default_scratch

TRIALS = 40
ROUNDS = 2
FILESYSTEMS = ("ext4", "xfs", "btrfs")
SEED = 9


def main() -> int:
    """Print a table of trials per minute, and how busy the cores were."""
    print("| guests | where | round | trials a minute | cores busy |", "|---|---|---|---:|---:|", sep="\n", flush=True)
    for jobs in sorted({1, run_config.cores()}):
        for number in range(1, ROUNDS + 1):
            for where, placed in (("anywhere", _anywhere), ("one core each", cores.on_one_core)):
                with mock.patch.object(uml, "on_one_core", placed):
                    rate, busy = _measure(jobs)
                print(f"| {jobs} | {where} | {number} | {rate:.1f} | {busy:.0%} |", flush=True)
    return 0


@contextmanager
def _anywhere() -> Iterator[int]:
    yield -1


def _measure(jobs: int) -> tuple[float, float]:
    request = replace(whole_space(), count=TRIALS, seed=SEED, control=False, canary=False)
    request = request.having(filesystem=FILESYSTEMS, fault=("none",))
    with tempfile.TemporaryDirectory(prefix="torture-bench-") as results:
        config = RunConfig(request, Path(results), default_scratch(), jobs=jobs)
        facts = execution.carry_out(config, lambda _: None).facts
    wall_s = float(facts["wall_seconds"])
    return TRIALS / wall_s * 60, float(facts["busy_seconds"]) / wall_s / int(facts["cores"])


if __name__ == "__main__":
    sys.exit(main())

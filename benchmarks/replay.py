"""Crash states per second in the uml lab, and where their time goes: python -m benchmarks.replay

Runs `torture run` with the fault `replay` as a user would, with a fixed seed, one guest at a time, and reads its JSON.
The time is that of the whole phase in which the log is surveyed and the states are built, mounted, read and dropped.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.goals import Goal

TORTURE = Path(sys.executable).with_name("torture")
FILESYSTEMS = ("ext4", "xfs", "btrfs", "f2fs")
STATES = 100
WANTED_PER_SECOND = 3.0
_CHECKED = re.compile(r"(\d+) checked")


def run(filesystem: str, results: Path) -> dict[str, Any]:
    """The replay trial of one filesystem, as the command prints it."""
    command = [str(TORTURE), "run", "--json", "--lab", "uml", "--jobs", "1", "--seed", "1", "--no-control"]
    command += ["--results", str(results), "--fs", filesystem, "--fault", f"replay:states={STATES}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr)
    return next(trial for trial in json.loads(done.stdout)["trials"] if trial["fault"] == "replay")


def main() -> int:
    """Print rates and goals."""
    goals = []
    with tempfile.TemporaryDirectory(prefix="torture-bench-") as results:
        for filesystem in FILESYSTEMS:
            trial = run(filesystem, Path(results))
            evidence = next((line for line in trial["evidence"] if _CHECKED.search(line)), "")
            checked = _CHECKED.search(evidence)
            states = int(checked[1]) if checked else 0
            rate = states / trial["phases"]["mend"] if states else 0.0
            print(f"{filesystem}: {trial['outcome']}, {evidence or 'nothing was replayed'}")
            goals.append(Goal(f"crash states of {filesystem}", rate, WANTED_PER_SECOND, "per second and core"))
    for goal in goals:
        print(goal)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Trials per minute and core in the uml and local labs, and where their time goes: python -m benchmarks.trials

Runs `torture run` as a user would, with a fixed seed, and reads its JSON. The time is that of the whole command, guests
booting included. Trials that could not run or could not be judged count for nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.goals import Goal

TORTURE = Path(sys.executable).with_name("torture")
SEED = 1
COUNTED = {"pass", "late", "fail"}
COMPLETED = {0, 3, 5, 6}
OTHER = "(between phases)"


@dataclass(frozen=True, slots=True)
class Course:
    """What is run in one lab, and how many trials a minute and core it should reach."""

    lab: str
    options: tuple[str, ...]
    wanted: float
    needs_root: bool


COURSES = (
    Course("uml", ("--fs", "ext4", "--fs", "xfs", "--fs", "btrfs", "--fs", "f2fs"), 15, needs_root=False),
    Course("local", ("--fs", "ext4", "--fs", "xfs", "--fs", "btrfs", "--fault", "enospc"), 60, needs_root=True),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """`seconds` of the command, the document it printed, and the cores it kept busy."""

    seconds: float
    document: dict[str, Any]
    cores: int

    @property
    def counted(self) -> list[dict[str, Any]]:
        """The trials that were carried out and judged."""
        return [trial for trial in self.document["trials"] if trial["outcome"] in COUNTED]

    @property
    def rate(self) -> float:
        """Trials per minute and core."""
        return len(self.counted) / self.seconds * 60 / self.cores


class RunFailed(Exception):
    """`torture run` did not complete: its exit code and standard error."""

    def __init__(self, exit_code: int, stderr: str) -> None:
        super().__init__(f"torture run ended with exit code {exit_code}: {stderr.strip() or 'no message'}")
        self.exit_code = exit_code
        self.stderr = stderr


def main() -> int:
    """Measure and print; exits 1 if a run did not complete, never because a goal was missed."""
    options = _options()
    failed = False
    for course in COURSES:
        if course.lab not in options.lab:
            continue
        print(f"\n{course.lab} lab: {' '.join(_command(course, options.count))}")
        if course.needs_root and os.geteuid() != 0:
            print(f"  not measured: the {course.lab} lab needs root")
            continue
        try:
            _print(course, _run(course, options.count))
        except RunFailed as error:
            print(f"  not measured: {error}")
            failed = True
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trials", description=__doc__)
    labs = [course.lab for course in COURSES]
    parser.add_argument("--lab", action="append", choices=labs, help="only this lab; repeatable")
    parser.add_argument("--count", type=int, default=2, help="draws per filesystem and fault (default: 2)")
    options = parser.parse_args()
    options.lab = options.lab or labs
    return options


def _command(course: Course, count: int) -> list[str]:
    choice = ["--lab", course.lab, *course.options, "--seed", str(SEED), "--count", str(count)]
    return ["torture", "run", *choice, "--json"]


def _run(course: Course, count: int) -> Measurement:
    with tempfile.TemporaryDirectory(prefix="torture-benchmark-") as results:
        argv = [str(TORTURE), *_command(course, count)[1:], "--results", results]
        begin = perf_counter()
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        seconds = perf_counter() - begin
    if done.returncode not in COMPLETED:
        raise RunFailed(done.returncode, done.stderr)
    document = json.loads(done.stdout)
    return Measurement(seconds, document, min(document["jobs"], len(os.sched_getaffinity(0))))


def _print(course: Course, measured: Measurement) -> None:
    outcomes = Counter(trial["outcome"] for trial in measured.document["trials"])
    print(f"  {', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}", end="")
    print(f" in {measured.seconds:.1f} s on {measured.cores} cores")
    if measured.counted:
        _print_phases(_mean_phases(measured.counted))
    print(Goal(f"trials per minute and core, {course.lab}", measured.rate, course.wanted, "trials"))


def _print_phases(means_s: dict[str, float]) -> None:
    total_s = sum(means_s.values())
    print(f"  {'a trial on average':19} {total_s:6.2f} s")
    for phase, seconds in means_s.items():
        print(f"    {phase:17} {seconds:6.2f} s {seconds / total_s:5.0%}")


def _mean_phases(trials: list[dict[str, Any]]) -> dict[str, float]:
    """Mean seconds of each phase of a trial, in the order they come in, and what lies between them."""
    sums: Counter[str] = Counter()
    for trial in trials:
        sums.update(trial["phases"])
        sums[OTHER] += trial["seconds"] - sum(trial["phases"].values())
    other_s = sums.pop(OTHER, 0.0)
    return {phase: seconds / len(trials) for phase, seconds in (*sums.items(), (OTHER, other_s))}


if __name__ == "__main__":
    sys.exit(main())

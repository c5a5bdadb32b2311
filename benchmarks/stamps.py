"""Stamping into a mapping, and checking it, against fio's mmap engine with verify=crc32c: python -m benchmarks.stamps

Both work on a file of the same size on tmpfs, in turns, and store with one thread; the median of the rounds counts.
Twice: on an allocated file without a pin, as fio is mostly used, and on a written file, where our mapping is mlocked,
as it is in this tool's trials. Checking goes through a mapping for both; the tool's own reader, which copies what it
reads because a trial must see each page's error, is shown beside it. Storing with "windows" populates each window of
the mapping for writing just before it is stored to: fio does not, no pin of the tool does, and no goal counts it.

The goal is twice fio's rate at its best block size. Larger blocks are easier, since fio's checksum then judges a larger
piece as a whole, where a stamp judges every sector of 512 bytes: fio with such blocks is shown for comparison.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import fio, own
from benchmarks.fio import GIGABYTE, Rates
from benchmarks.goals import Goal
from devicemapper import tools

GIBIBYTE = 1 << 30
FACTOR = 2.0
BLOCKS = ("4k", "1m")
SECTOR_BLOCK = "512"
PINS = ("none", "mlock", "populate-write")
WINDOWS = "torture, windows"


@dataclass(frozen=True, slots=True)
class Setting:
    """What the file is before anybody stores, and which of our pins the goal is about."""

    name: str
    written: bool
    pin: str


SETTINGS = (Setting("allocated file", False, "none"), Setting("written file", True, "mlock"))


def main() -> int:
    """Measure and print; exits 1 if it cannot measure, never because a goal was missed."""
    options = _options()
    size_bytes = options.gibibytes * GIBIBYTE
    refusal = _refusal(options.directory, size_bytes)
    if refusal:
        print(f"benchmarks.stamps: {refusal}", file=sys.stderr)
        return 1
    path = options.directory / f"stamps-benchmark-{os.getpid()}"
    print(f"Stamps against fio, {options.gibibytes} GiB in {options.directory}, median of {options.rounds} rounds,")
    print(f"GB/s (10^9 bytes), load average at the start {os.getloadavg()[0]:.1f}")
    try:
        _first_touch(path, size_bytes)
        for setting in SETTINGS:
            _print(setting, _measure(_contestants(path, size_bytes, setting), options.rounds))
        _print_breakdown(own.break_down(path, size_bytes), size_bytes)
    finally:
        path.unlink(missing_ok=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stamps", description=__doc__)
    parser.add_argument("--gibibytes", type=int, default=1, help="size of the file (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: 3)")
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="on tmpfs (default: /dev/shm)")
    return parser.parse_args()


def _refusal(directory: Path, size_bytes: int) -> str:
    if not tools.find("fio"):
        return str(tools.CommandMissing("fio"))
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < size_bytes * 5 // 4:
        return f"{directory} has {free_bytes} bytes free, {size_bytes * 5 // 4} are needed"
    return ""


def _first_touch(path: Path, size_bytes: int) -> None:
    """Lets a virtual machine get its memory from its host before any clock runs."""
    with path.open("xb") as file:
        os.posix_fallocate(file.fileno(), 0, size_bytes)
    path.unlink()


def _contestants(path: Path, size_bytes: int, setting: Setting) -> dict[str, Callable[[], Rates]]:
    """What is measured, by the name it is printed under, in the order of a round."""
    measures: dict[str, Callable[[], Rates]] = {}
    for block in (*BLOCKS, SECTOR_BLOCK):
        measures[_fio_name(block)] = partial(fio.measure, path, size_bytes, block, written=setting.written)
    for pin in PINS:
        measures[_own_name(pin)] = partial(own.measure, path, size_bytes, pin, written=setting.written)
    measures[WINDOWS] = partial(
        own.measure, path, size_bytes, "none", written=setting.written, window_pages=own.STORE_WINDOW_PAGES
    )
    return measures


def _fio_name(block: str) -> str:
    return f"fio bs={block}"


def _own_name(pin: str) -> str:
    return f"torture, pin {pin}"


def _measure(contestants: dict[str, Callable[[], Rates]], rounds: int) -> dict[str, Rates]:
    """The median of each, measured in turns."""
    measured: dict[str, list[Rates]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            measured[name].append(measure())
    return {name: _median(all_of) for name, all_of in measured.items()}


def _median(measured: list[Rates]) -> Rates:
    """Of each rate by itself."""
    kind = type(measured[0])
    return kind(*(median(rates) for rates in zip(*map(astuple, measured), strict=True)))


def _print(setting: Setting, results: dict[str, Rates]) -> None:
    print(f"\n{setting.name:29} {'store':>8} {'check':>8} {'(reader)':>8}")
    for name, rates in results.items():
        reader = f" {rates.reader_gb_s:8.2f}" if isinstance(rates, own.OwnRates) else ""
        print(f"  {name:27} {rates.store_gb_s:8.2f} {rates.check_gb_s:8.2f}{reader}")
    ours = results[_own_name(setting.pin)]
    assert isinstance(ours, own.OwnRates)
    rivals = [results[_fio_name(block)] for block in BLOCKS]
    fastest = Rates(max(one.store_gb_s for one in rivals), max(one.check_gb_s for one in rivals))
    alike = results[_fio_name(SECTOR_BLOCK)]
    for what, mine, best, sector in (
        ("store", ours.store_gb_s, fastest.store_gb_s, alike.store_gb_s),
        ("check through a mapping", ours.check_gb_s, fastest.check_gb_s, alike.check_gb_s),
    ):
        print(Goal(f"{what}, {setting.name}, pin {setting.pin}, over fio's best", mine / best, FACTOR, "x"))
        print(f"  ({mine / sector:.2f} x fio with a checksum for every 512 bytes, as a stamp has)")
    print(f"  (check with the tool's reader: {ours.reader_gb_s / fastest.check_gb_s:.2f} x fio's best)")
    windows = results[WINDOWS].store_gb_s / fastest.store_gb_s
    print(f"  (store with windows populated ahead: {windows:.2f} x fio's best)")


def _print_breakdown(parts: own.Breakdown, size_bytes: int) -> None:
    print("\nWhere our time goes, each part alone (allocated file, no pin):")
    for what, seconds in (
        ("first faults of the mapping", parts.fault_s),
        ("making stamps in cache", parts.stamp_s),
        ("populating a new mapping", parts.populate_s),
        ("checking in that mapping", parts.scan_mapping_s),
        ("pread of the file", parts.read_s),
        ("checking stamps in cache", parts.scan_s),
    ):
        print(f"  {what:28} {seconds:6.3f} s {size_bytes / seconds / GIGABYTE:7.2f} GB/s")


if __name__ == "__main__":
    sys.exit(main())

"""Random kills, and whether anything is left, lost or doubled: python -m benchmarks.kills --kills 1000 --seed 1

Short runs and campaigns in random labs, with random faults on random filesystems, are killed at random moments, again and
again (benchmarks.attack); `torture clean` cleans up, and `torture resume` goes on, until they are finished. What is wrong
then (benchmarks.aftermath) is printed with what repeats it, and the run is kept. Exits 1 if anything was.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from shutil import rmtree

from benchmarks.attack import PHASES, TORTURE, VICTIMS, Attack, Tally
from benchmarks.short_runs import Abilities
from torture.campaign.run_config import cores
from torture.dimensions import DIMENSIONS
from torture.lab.choose import LABS, QEMU

ALL = "all"
WRONG = ("left", "lost", "doubled", "order")
"""What may be wrong: something is there that should not, or the other way round, or twice, or a command failed."""


def main() -> int:
    """Kill, print failures as they come and a table in the end; exits 1 if there was a failure."""
    options = _options()
    home = options.keep or Path(tempfile.mkdtemp(prefix="torture-kills-"))
    home.mkdir(parents=True, exist_ok=True)
    able = abilities(options.lab, home)
    began_s = time.monotonic()
    tally = Tally(options.kills, began_s + (options.seconds or float("inf")))
    if options.only:
        attack(options.seed, options.only, able, home, tally)
    else:
        numbers = count(1)
        with ThreadPoolExecutor(options.at_a_time) as pool:
            for worker in [
                pool.submit(_attacks, options.seed, numbers, able, home, tally) for _ in range(options.at_a_time)
            ]:
                worker.result()
    print("\n".join(_table(tally)))
    print(
        f"{tally.kills.total()} kills of {tally.runs} runs in {time.monotonic() - began_s:.0f} s, seed {options.seed};",
        end=" ",
    )
    print(f"{tally.trials} trials were finished; {tally.gave_up} times a run gave up after kills of its guests")
    return int(tally.wrong.total() > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lab", choices=(*LABS, ALL), default=ALL, help="default: all that can run here, but for qemu")
    parser.add_argument("--seconds", type=float, help="begin nothing new after so long")
    parser.add_argument("--at-a-time", type=int, default=2 * cores(), help="runs under attack (default: two for each core)")
    parser.add_argument("--only", type=int, help="one run, by its number")
    parser.add_argument(
        "--keep", type=Path, help="where runs are, and those with a failure stay (default: a new directory)"
    )
    return parser.parse_args()


def abilities(lab: str, home: Path) -> Abilities:
    """What `torture doctor` says that can be done here. SystemExit if that is nothing."""
    done = subprocess.run([TORTURE, "doctor", "--json", "--results", home], capture_output=True, text=True, check=False)
    if not done.stdout:
        sys.exit(done.stderr)
    found = {}
    for report in json.loads(done.stdout)["labs"]:
        wanted = report["lab"] == lab or (lab == ALL and report["lab"] != QEMU)
        if wanted and not report["unavailable"]:
            faults = report["capabilities"]["faults"]
            names = [name for name, why in report["capabilities"]["filesystems"].items() if not why]
            found[report["lab"]] = {name: list(_faults(faults, name)) for name in names}
    return found or sys.exit(f"no lab of {lab} can run here; `torture doctor` tells why")


def _faults(reasons: dict[str, dict[str, str]], filesystem: str) -> Iterator[str]:
    """The faults that can strike a filesystem, and those of their compositions that are drawn."""
    row = DIMENSIONS["fault"]
    able = {name for name, by_filesystem in reasons.items() if by_filesystem.get(filesystem) == ""}
    yield from (name for name in (*row.values, *row.composed) if able.issuperset(row.parts(name)))


def _attacks(seed: int, numbers: Iterator[int], able: Abilities, home: Path, tally: Tally) -> None:
    while not tally.is_enough:
        attack(seed, next(numbers), able, home, tally)


def attack(seed: int, number: int, able: Abilities, home: Path, tally: Tally) -> None:
    """Carry out one; its directory goes unless something was wrong."""
    place = home / str(number)
    place.mkdir()
    one = Attack(seed, number, able, place, tally)
    try:
        one.carry_out()
    except Exception:  # the others go on
        one.wrong(f"order: {traceback.format_exc()}")
    with tally.lock:
        tally.runs += 1
        for line in one.failures:
            print(f"{line}\n  python -m benchmarks.kills --seed {seed} --only {number}; kept in {place}", flush=True)
        print(f"run {number}: {one.kills} kills, {tally.kills.total()} in all", file=sys.stderr, flush=True)
    if not one.failures:
        rmtree(place)


def _table(tally: Tally) -> Iterator[str]:
    labs = sorted({lab for lab, _, _ in tally.kills})
    yield f"| lab | killed | {' | '.join(PHASES)} | kills |"
    yield f"|---|---|{'---:|' * (len(PHASES) + 1)}"
    for lab in labs:
        for victim in VICTIMS:
            row = [tally.kills[lab, victim, phase] for phase in PHASES]
            yield f"| {' | '.join((lab, victim, *map(str, row), str(sum(row))))} |"
    yield ""
    yield f"| lab | {' | '.join(WRONG)} |"
    yield f"|---|{'---:|' * len(WRONG)}"
    yield from (f"| {lab} | {' | '.join(str(tally.wrong[lab, kind]) for kind in WRONG)} |" for lab in labs)
    yield ""


if __name__ == "__main__":
    sys.exit(main())

"""Options at random on a healthy kernel: python -m benchmarks.options --trials N --kernel PATH --kernel-arg mutant=0

Each trial is a plan drawn from the whole space, with mkfs and mount options drawn from the manual pages. What mkfs or mount
refuses, and what cannot be tried, is counted and is no trial. A plan that fails is tried again as often without its
options: where it fails then too, options are not to blame. All others, and all that could not be judged, are listed with
their plans: each of them accuses either the kernel or the tool.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.option_words import FLAGS, WORDS, OptionWords, alternatives
from torture.draw.pairwise import draw_plans
from torture.draw.request import whole_space
from torture.faults import fault_class
from torture.filesystems import FILESYSTEMS
from torture.plan import FaultSpec, Plan
from torture.trial.requirements import disk_missing

TORTURE = Path(sys.executable).with_name("torture")
COMPLETED = {0, 3, 4, 5, 6}
BATCH = 30
TWINS = 3
"""How often a plan that failed is tried without its options."""
STATES = 12
"""Crash states of a replay: quick, and still a few in each epoch."""
REFUSED, VOID = "the options of the plan are refused", " is void: "
COLUMNS = ("drawn", "refused", "void", "other notrun", "unknown", "pass", "late", "fail", "fail without options too")


@dataclass(frozen=True, slots=True)
class Tried:
    """A plan and the trial of it, as the document of `torture run --json` has it."""

    plan: Plan
    trial: dict[str, Any]
    run: Path

    @property
    def column(self) -> str:
        """Where it is counted."""
        outcome, reason = str(self.trial["outcome"]), str(self.trial["reason"])
        if outcome != "notrun":
            return outcome
        return "refused" if reason.startswith(REFUSED) else "void" if VOID in reason else "other notrun"

    @property
    def failures(self) -> set[tuple[str, str]]:
        """What it found, by kind and promise."""
        return {(finding["kind"], finding["promise"]) for finding in self.trial["findings"]}


class RunFailed(Exception):
    """`torture run` did not complete: its exit code and standard error."""


def main() -> int:
    """Draw, run until there are enough or ^C, print the table and what is to be explained; 1 if there is any."""
    options = _options()
    options.results.mkdir(parents=True, exist_ok=True)
    plans = with_options(options.seed, options.filesystem)
    tried: list[Tried] = []
    with suppress(KeyboardInterrupt):
        while sum(_ran(each) for each in tried) < options.trials:
            tried += _run([next(plans) for _ in range(BATCH)], options)
            print(_progress(tried), file=sys.stderr, flush=True)
    failed = [each for each in tried if each.column == "fail"]
    elsewhere = {each.plan.identity: failures for each, failures in _twins(failed, options)}
    print("\n".join(_table(tried, elsewhere)))
    lines = list(_unexplained(tried, elsewhere, options.results))
    print("\n".join(lines))
    return int(bool(lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.options", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="so many that ran (default: 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kernel", help="a User-mode Linux kernel (default: the one of the lab)")
    parser.add_argument("--kernel-arg", action="append", default=[], help="repeatable")
    parser.add_argument("--filesystem", action="append", choices=list(FILESYSTEMS), help="only this one; repeatable")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("options-at-random"), help="keep runs and plans there")
    options = parser.parse_args()
    options.filesystem = options.filesystem or list(WORDS)
    return options


def with_options(seed: int, filesystems: Sequence[str]) -> Iterator[Plan]:
    """Endless plans of the whole space, each with options of its own; the same for the same seed everywhere."""
    random = Random(f"{seed}/options")
    request = replace(whole_space().having(filesystem=tuple(filesystems)), seed=seed, pages=4, count=1_000_000)
    for plan in filter(_is_possible, draw_plans(request)):
        words = WORDS[FILESYSTEMS[plan.filesystem].type]
        faults = tuple(map(_quick, plan.faults))
        yield replace(plan, faults=faults, mkfs_options=_mkfs(words, random), mount_options=_mount(words, random))


def _is_possible(plan: Plan) -> bool:
    """Whether the faults can strike such a filesystem, as far as its row says."""
    row, struck = FILESYSTEMS[plan.filesystem], [fault_class(fault.name) for fault in plan.faults]
    return not any(disk_missing(row, fault) or row.lacking(*fault.needs) for fault in struck)


def _quick(fault: FaultSpec) -> FaultSpec:
    quick = {"states": STATES} if "states" in fault_class(fault.name).taken() else {}
    return replace(fault, parameters={**quick, **fault.parameters})


def _mkfs(words: OptionWords, random: Random) -> tuple[str, ...]:
    whole = [word for option in _some(words.mkfs, random, 1) for word in option.split("_")]
    for option, text in words.features.items():
        if chosen := _some(text, random, 2 if random.random() < 0.4 else 0):
            whole += [option, ",".join(chosen)]
    return tuple(whole)


def _mount(words: OptionWords, random: Random) -> tuple[str, ...]:
    drawn = [*_some(words.mount, random, 2), *_some(FLAGS, random, 1)]
    return tuple(word for option in drawn for word in option.split(","))


def _some(text: str, random: Random, most: int) -> list[str]:
    """Some of the words in `text`, of those that exclude each other one."""
    choices = alternatives(text)
    return [random.choice(each) for each in random.sample(choices, min(random.randint(0, most), len(choices)))]


def _ran(tried: Tried) -> bool:
    return str(tried.trial["outcome"]) != "notrun"


def _run(plans: Sequence[Plan], options: argparse.Namespace) -> list[Tried]:
    """Each plan once, in one run that has a directory of its own."""
    files = [_kept(plan, options.results) for plan in plans]
    directory = options.results / f"run-{plans[0].identity}"
    argv = [str(TORTURE), "run", "--json", "--no-control", "--jobs", str(options.jobs), "--results", str(directory)]
    argv += ["--kernel", options.kernel] if options.kernel else []
    argv += [word for argument in options.kernel_arg for word in ("--kernel-arg", argument)]
    argv += [word for file in files for word in ("--plan", str(file))]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode not in COMPLETED:
        raise RunFailed(done.returncode, done.stderr)
    document = json.loads(done.stdout)
    by_identity = {plan.identity: plan for plan in plans}
    trials = [trial for trial in document["trials"] if trial["plan"] in by_identity]
    return [Tried(by_identity[trial["plan"]], trial, directory) for trial in trials]


def _kept(plan: Plan, results: Path) -> Path:
    file = results / f"{plan.identity}.json"
    file.write_text(plan.to_json() + "\n")
    return file


def _twins(failed: Sequence[Tried], options: argparse.Namespace) -> Iterator[tuple[Tried, set[tuple[str, str]]]]:
    """What plans that failed show without their options, from other seeds each."""
    for each in failed:
        bare = replace(each.plan, mkfs_options=(), mount_options=())
        twins = _run([replace(bare, seed=bare.seed ^ number) for number in range(TWINS)], options)
        yield each, {failure for twin in twins for failure in twin.failures}


def _is_elsewhere(tried: Tried, elsewhere: dict[str, set[tuple[str, str]]]) -> bool:
    return bool(tried.failures) and tried.failures <= elsewhere.get(tried.plan.identity, set())


def _table(tried: Sequence[Tried], elsewhere: dict[str, set[tuple[str, str]]]) -> Iterator[str]:
    yield f"| filesystem | {' | '.join(COLUMNS)} |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for name in (*dict.fromkeys(each.plan.filesystem for each in tried), "all"):
        mine = [each for each in tried if name in ("all", each.plan.filesystem)]
        counted = Counter(each.column for each in mine)
        counted["drawn"] = len(mine)
        counted[COLUMNS[-1]] = sum(_is_elsewhere(each, elsewhere) for each in mine)
        yield f"| {name} | {' | '.join(str(counted[column]) for column in COLUMNS)} |"


def _unexplained(tried: Sequence[Tried], elsewhere: dict[str, set[tuple[str, str]]], results: Path) -> Iterator[str]:
    for each in tried:
        if each.column == "unknown" or (each.column == "fail" and not _is_elsewhere(each, elsewhere)):
            plan, trial = each.plan, each.trial
            options = f"mkfs {' '.join(plan.mkfs_options) or '-'}, mount {','.join(plan.mount_options) or '-'}"
            yield f"{each.column}: {plan.filesystem}, {plan.fault_names}, {options}: {trial['reason'][:200]}"
            yield f"    torture run --plan {results / plan.identity}.json; trial {trial['number']} of {each.run}"
            yield from (f"    {finding['kind']}: {finding['found'][:150]!r}" for finding in trial["findings"][:3])


def _progress(tried: Sequence[Tried]) -> str:
    counted = Counter(each.column for each in tried)
    return ", ".join(f"{counted[column]} {column}" for column in COLUMNS[1:-1])


if __name__ == "__main__":
    sys.exit(main())

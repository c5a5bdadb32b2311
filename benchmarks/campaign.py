"""How soon the default campaign finds a bug: python -m benchmarks.campaign --kernel PATH --kernel-arg mutant=1 ...

For each kernel argument one campaign from examples/overnight.toml, which gives no hint, until its first finding that is
not known there. The time is that of the whole campaign: guests booting, planted losses, and the control arm of the
finding included. Prints a table; "-" where the time was used up without a finding.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from torture.campaign import campaign_file, execution
from torture.campaign.run_config import RunConfig
from torture.lab.choose import KernelChoice
from torture.lab.disk import default_scratch
from torture.results.excuses import known_of, without_known
from torture.results.groups import Group, gather
from torture.results.known_file import packaged

FILE = Path(__file__).parents[1] / "examples/overnight.toml"
HEADINGS = ("argument", "seconds", "trials", "first finding", "control arm")
GOAL_S = 900.0


def main() -> int:
    """Measure and print; exits 1 if a campaign found nothing, unless that was expected."""
    options = _options()
    print(f"| {' | '.join(HEADINGS)} |", f"|{'|'.join('---' for _ in HEADINGS)}|", sep="\n", flush=True)
    missed = 0
    for argument in options.kernel_arguments:
        row = list(_row(argument, options))
        missed += row[1] == "-"
        print(f"| {' | '.join(row)} |", flush=True)
    return int(missed > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("--kernel", required=True, help="a User-mode Linux kernel with bugs to be switched on")
    parser.add_argument(
        "--kernel-arg", action="append", dest="kernel_arguments", required=True, help="switches one on; repeatable"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--time", type=float, default=GOAL_S, help="seconds at most for each (default: 900)")
    parser.add_argument("--results", type=Path, help="keep the runs there")
    return parser.parse_args()


def _row(argument: str, options: argparse.Namespace) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="torture-benchmark-") as temporary:
        ended = execution.carry_out(_config(argument, options, options.results or Path(temporary)), _say)
    news = without_known(ended.trials, known_of(ended.facts), date.today())
    seconds = float(ended.facts["wall_seconds"])
    groups = gather(news)
    yield argument
    yield f"{seconds:.0f}" if groups else "-"
    yield str(groups[0].trial if groups else len(news))
    yield _named(groups[0]) if groups else "none"
    yield groups[0].control if groups else ""


def _config(argument: str, options: argparse.Namespace, results: Path) -> RunConfig:
    config = campaign_file.load(
        FILE, results=results, scratch=default_scratch(), draw_seed=lambda: options.seed, known=packaged()
    )
    return replace(
        config,
        kernels=(KernelChoice(options.kernel, (argument,)),),
        jobs=options.jobs,
        time_limit_s=options.time,
        most_findings=1,
        artefact_bytes=0,
    )


def _named(group: Group) -> str:
    return ", ".join(filter(None, (group.key.kind, group.key.filesystem, group.key.layout, group.key.fault)))


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

"""`torture compare`: options in, a verdict and an exit code out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import click

from torture import options as options_for
from torture.campaign import execution, run_directory
from torture.campaign.setting import Setting
from torture.draw.matrix import draw
from torture.errors import BadRequest
from torture.filesystems import filesystem
from torture.lab.choose import LABS, KernelChoice, kernel_label, lab_for
from torture.plan import Plan
from torture.report.terminal import echo
from torture.reproduce import compare as comparing
from torture.reproduce.shared_options import (
    EXIT_INTERRUPTED,
    F,
    how_to_repeat,
    jobs_option,
    json_option,
    run_config,
    time_option,
)
from torture.reproduce.subject import Subject, find_subject
from torture.reproduce.verdict import Effect, overall
from verify.outcome import Outcome


def _arm_options(command: F) -> F:
    """What may differ between the sides, and what both have."""
    for side in ("b", "a"):
        for name, meaning in (
            ("fs", "a filesystem"),
            ("mkfs-options", "options for mkfs, in one word for the shell"),
            ("mount-options", "options for mount, separated by commas"),
        ):
            option = click.option(f"--{name}-{side}", help=f"Side {side.upper()} alone: {meaning}.")
            command = option(command)
        command = click.option(
            f"--kernel-arg-{side}", multiple=True, help=f"A kernel parameter of side {side.upper()}; repeatable."
        )(command)
    for name, meaning in (("mkfs-options", "Options for mkfs"), ("mount-options", "Options for mount")):
        command = click.option(f"--{name}", default="", help=f"{meaning} of drawn plans, both sides.")(command)
    return command


@click.command(cls=options_for.DrawingCommand)
@options_for.places
@click.option("--lab", type=click.Choice(LABS), help="Where trials run (default: qemu for a bzImage, else uml).")
@click.option("--kernel", "kernels", multiple=True, help="Kernel of A, then of B; given once: of both.")
@click.option("--kernel-arg", "kernel_arguments", multiple=True, help="A kernel parameter of both sides; repeatable.")
@_arm_options
@click.option("--plan", type=click.Path(path_type=Path), help="Compare on this plan.")
@click.option("--finding", type=click.Path(path_type=Path), help="Compare on a RUN, RUN/TRIAL or finding directory.")
@click.option("--pairs", type=click.IntRange(2, 100_000), default=64, show_default=True, help="Pairs at most.")
@click.option("--pages", type=int, default=8, show_default=True, help="Drawn plans: pages each worker maps.")
@click.option("--workers", type=int, default=2, show_default=True, help="Drawn plans: workers on each file.")
@click.option("--seed", type=int, help="Seed of plans and order (default: drawn).")
@time_option
@jobs_option
@json_option
def compare(results: Path, scratch: Path | None, as_json: bool, **options: Any) -> int:
    """Run the same plans on two sides, kernels or configurations, in random order: is the failure of A fixed in B?

    Exit codes: 0 fixed, or no difference; 3 not fixed or worse; 5 not reproducible on A, or nothing was judged.
    """
    seed = options_for.draw_seed() if options["seed"] is None else options["seed"]
    found = _compared(options, results)
    lab = options["lab"] or lab_for(*options["kernels"])
    sides = _sides(options, lab)
    kernels = tuple(dict.fromkeys(side.choice for side in sides))
    config = run_config(results, scratch, options, lab, kernels, seed)
    plans = _same_plan(found.plan) if found else _drawn({**options, "seed": seed})
    first = next(plans)
    for side in sides:
        side.of(first)  # so that words that are not allowed are refused before anything starts
    plans = chain((first,), plans)
    expected = found.expected if found else ()
    for line in how_to_repeat(found, Setting(lab, kernels), "torture compare --finding") if found else ():
        echo(line, err=True)
    source = comparing.Comparison(sides, plans, options["pairs"], seed, expected, fails=found is not None)
    with run_directory.opened(config, "compare", options_for.say(as_json)) as run:
        interrupted = execution.follow(run, source, 2 * options["pairs"])
        source.conclude()
        result = comparing.document(source, run.store.facts())
        run.store.describe(comparison=result["signatures"], verdict=result["verdict"])
    echo(json.dumps(result) if as_json else comparing.render(source))
    if interrupted:
        return EXIT_INTERRUPTED
    verdict = overall(source.judged).verdict
    if verdict in (Effect.not_reproducible, Effect.unjudged):
        return Outcome.unknown.exit_code
    return (Outcome.failed if verdict.is_bad else Outcome.passed).exit_code


def _compared(options: dict[str, Any], results: Path) -> Subject | None:
    """The plan or finding that is compared on; None when plans are drawn."""
    given = [options[name] for name in ("plan", "finding") if options[name]]
    dimensions = [name for name in options if name.endswith("_values") and options[name]]
    if len(given) > 1 or (given and dimensions):
        raise BadRequest("more than one thing to compare on", "give one of --plan, --finding, or --fs, --layout ...")
    return find_subject(given[0], results) if given else None


def _sides(options: dict[str, Any], lab: str) -> tuple[comparing.Side, comparing.Side]:
    kernels = options["kernels"] or ("",)
    if len(kernels) > 2:
        raise BadRequest("--kernel was given more than twice", "give that of A, then that of B")
    first, second = (
        _side(options, side, KernelChoice(path, (*options["kernel_arguments"], *options[f"kernel_arg_{side}"])), lab)
        for side, path in (("a", kernels[0]), ("b", kernels[-1]))
    )
    return first, second


def _side(options: dict[str, Any], side: str, choice: KernelChoice, lab: str) -> comparing.Side:
    name, mkfs, mount = (options[f"{option}_{side}"] for option in ("fs", "mkfs_options", "mount_options"))
    return comparing.Side(
        name=side.upper(),
        choice=choice,
        kernel=kernel_label(lab, choice),
        filesystem=None if name is None else filesystem(name).name,
        mkfs_options=None if mkfs is None else tuple(mkfs.split()),
        mount_options=None if mount is None else tuple(filter(None, mount.split(","))),
    )


def _same_plan(plan: Plan) -> Iterator[Plan]:
    """The plan with its own seed, then with the next ones."""
    return (replace(plan, seed=plan.seed + turn) for turn in count())


def _drawn(options: dict[str, Any]) -> Iterator[Plan]:
    """The plans of a request, again and again with other seeds."""
    request = options_for.request({**options, "count": 1, "control": False, "memlock_bytes": -1, "plan_files": ()})
    request = replace(request, canary=False)
    for turn in count():
        yield from (item.plan for item in draw(replace(request, seed=request.seed + turn)))

"""The commands that reproduce: `replay` and `plan` here, the others beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from torture import options as options_for
from torture.campaign.artefacts import tool_versions
from torture.draw import from_words
from torture.draw.request import choose, choose_faults
from torture.faults import parts
from torture.filesystems import filesystem
from torture.lab.choose import KernelChoice
from torture.plan import MAX_PAGES
from torture.plan_check import check
from torture.reproduce import replay as replaying
from torture.reproduce import workshop
from torture.reproduce.compare_command import compare
from torture.reproduce.shared_options import (
    EXIT_INTERRUPTED,
    Places,
    chosen_kernel,
    jobs_option,
    json_option,
    kernel_arguments_option,
    kernel_option,
    say,
    subject_argument,
)
from torture.reproduce.shrink_command import shrink
from torture.reproduce.subject import Subject, differences, find_subject, kernel_facts, lab_of
from torture.results.store import Trial
from verify.outcome import Outcome
from workloads.access import ACCESSES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS
from workloads.syncs import SYNCS


@click.command()
@subject_argument
@options_for.places
@kernel_option
@kernel_arguments_option
@click.option("--times", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Trials to run.")
@click.option("--until-failure", is_flag=True, help="Stop at the first that fails as recorded.")
@jobs_option
@json_option
def replay(subject: Path, results: Path, scratch: Path | None, as_json: bool, **options: Any) -> int:
    """Run the plan of a trial or finding again: how often it fails, and whether in the same way.

    Exit codes: 3 reproduced, 0 not reproduced, 5 nothing could be judged.
    """
    found = find_subject(subject, results)
    kernel = chosen_kernel(found, options["kernel"], options["kernel_arguments"])
    place = lab_of(found, kernel.path)
    order = Places(results, scratch, options["jobs"]).order(place, (kernel,), found.plan.seed)
    lab = workshop.lab_name(place, kernel)
    source = replaying.Again(found.plan, lab, options["times"], found.expected, options["until_failure"])
    with workshop.opened(order, "replay", say(as_json)) as shop:
        shop.store.describe(subject=found.origin)
        interrupted = shop.run(source, options["times"])
        facts = shop.store.facts()
    replayed = replaying.count(source.trials, found.expected)
    warnings = _changed(found, kernel, source.trials)
    if as_json:
        click.echo(json.dumps(replaying.document(replayed, warnings, facts)))
    else:
        click.echo(replaying.render(replayed, warnings))
    if interrupted:
        return EXIT_INTERRUPTED
    if not replayed.judged:
        return Outcome.unknown.exit_code
    return (Outcome.failed if replayed.reproduced else Outcome.passed).exit_code


def _changed(subject: Subject, kernel: KernelChoice, trials: list[Trial]) -> list[str]:
    """What is not as it was when the subject was recorded."""
    now = kernel_facts(kernel)
    if trials:
        now |= {"kernel": trials[0].kernel, **tool_versions(trials[0])}
    return differences(subject.recorded, now)


@click.command()
@click.option("--fs", "fs_name", required=True, help="The filesystem.")
@click.option("--layout", "layouts", multiple=True, default=["hole"], help="A file of this layout; repeatable.")
@click.option("--pin", "pins", multiple=True, default=["mlock"], help="A worker with this pin on each file; repeatable.")
@click.option("--access", default="store", show_default=True, help="How workers store.")
@click.option("--sync", default="msync", show_default=True, help="Without --ops: store, this sync, store, this sync.")
@click.option("--fault", "fault_names", multiple=True, default=["none"], help="NAME or NAME:KEY=NUMBER; repeatable.")
@click.option("--ops", help='What each worker does, as "store,sync msync,store 0+2,background".')
@click.option("--pages", type=click.IntRange(1, MAX_PAGES), default=4, show_default=True, help="Pages of each worker.")
@click.option("--mkfs-options", default="", help="Options for mkfs, in one word for the shell.")
@click.option("--mount-options", default="", help="Options for mount, separated by commas.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the plan.")
def plan(**options: Any) -> int:
    """Build a plan from words and print it, for `torture replay PLAN`, `compare --plan` and `shrink`."""
    choose("--sync", [options["sync"]], SYNCS, ())
    choose("--access", [options["access"]], ACCESSES, ())
    built = from_words.build(
        from_words.Words(
            filesystem=filesystem(options["fs_name"]).name,
            layouts=choose("--layout", options["layouts"], LAYOUTS, ()),
            pins=choose("--pin", options["pins"], PINS, ()),
            access=options["access"],
            faults=tuple(part for spec in choose_faults(options["fault_names"]) for part in parts(spec)),
            ops=options["ops"] or f"store,sync {options['sync']},store,sync {options['sync']}",
            pages=options["pages"],
            seed=options["seed"],
            mkfs_options=tuple(options["mkfs_options"].split()),
            mount_options=tuple(filter(None, options["mount_options"].split(","))),
        )
    )
    check(built)
    click.echo(built.to_json())
    return 0


COMMANDS = (replay, compare, shrink, plan)

"""The commands that reproduce: `replay` and `plan` here, the others beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from torture import options as options_for
from torture.campaign import execution, run_directory
from torture.campaign.artefacts import tool_versions
from torture.dimensions import DIMENSIONS, Dimension
from torture.draw import from_words
from torture.draw.request import Request
from torture.lab.base import Lab
from torture.plan import MAX_PAGES
from torture.plan_check import check
from torture.report.terminal import echo
from torture.reproduce import replay as replaying
from torture.reproduce.compare_command import compare
from torture.reproduce.shared_options import EXIT_INTERRUPTED, again, chosen, how_to_repeat, run_config
from torture.reproduce.shrink_command import shrink
from torture.reproduce.subject import Subject, differences, find_subject
from torture.results.store import Trial
from verify.outcome import Outcome


@click.command()
@again
@click.option("--times", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Trials to run.")
@click.option("--until-failure", is_flag=True, help="Stop at the first that fails as recorded.")
def replay(subject: Path, results: Path, scratch: Path | None, as_json: bool, **options: Any) -> int:
    """Run the plan of a trial or finding again: how often it fails, and whether in the same way.

    It runs in the lab and on the kernel that the options name, never on what is recorded.

    Exit codes: 3 reproduced, 0 not reproduced, 5 nothing could be judged.
    """
    found = find_subject(subject, results)
    given = chosen(options)
    config = run_config(results, scratch, options, given.lab, given.kernels, found.plan.seed)
    with run_directory.opened(config, "replay", options_for.say(as_json)) as run:
        run.store.describe(subject=found.origin)
        ((label, lab),) = run.labs.items()
        source = replaying.Again(found.plan, label, options["times"], found.expected, options["until_failure"])
        interrupted = execution.follow(run, source, options["times"])
        facts = run.store.facts()
    replayed = replaying.count(source.trials, found.expected)
    warnings = [*_changed(found, lab, source.trials), *how_to_repeat(found, given, "torture replay")]
    if as_json:
        echo(json.dumps(replaying.document(replayed, warnings, facts)))
    else:
        echo(replaying.render(replayed, warnings))
    if interrupted:
        return EXIT_INTERRUPTED
    if not replayed.judged:
        return Outcome.unknown.exit_code
    return (Outcome.failed if replayed.reproduced else Outcome.passed).exit_code


def _changed(subject: Subject, lab: Lab, trials: list[Trial]) -> list[str]:
    """What is not as it was when the subject was recorded."""
    now = lab.facts
    if trials:
        now = {**now, "kernel": trials[0].release, **tool_versions(trials[0])}
    return differences(subject.recorded, now)


class _PlanCommand(click.Command):
    """A command with an option for each dimension of which a file or worker has a value to exchange for another."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Those of the dimensions, then its own."""
        return [*(_word_option(row) for row in DIMENSIONS.values() if row.put), *super().get_params(ctx)]


def _word_option(row: Dimension) -> click.Option:
    what = f"The {row.noun} of a {row.scope.name}; repeatable: a {row.scope.name} for each."
    return options_for.value_option(row, multiple=True, default=row.usual[:1], show_default=True, help=what)


@click.command(cls=_PlanCommand)
@click.option("--fs", "fs_name", required=True, help="The filesystem.")
@click.option("--fault", "fault_names", multiple=True, default=["none"], help="NAME or NAME:KEY=NUMBER; repeatable.")
@click.option("--ops", default="", help='What each worker does, as "store,sync msync,store 0+2,background".')
@click.option("--pages", type=click.IntRange(1, MAX_PAGES), default=4, show_default=True, help="Pages of each worker.")
@click.option("--mkfs-options", default="", help="Options for mkfs, in one word for the shell.")
@click.option("--mount-options", default="", help="Options for mount, separated by commas.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the plan.")
def plan(**options: Any) -> int:
    """Build a plan from words and print it, for `torture replay PLAN`, `compare --plan` and `shrink`.

    Without --ops each worker stores, syncs, stores and syncs.
    """
    given = {row.name: options[f"{row.option}_values"] for row in DIMENSIONS.values() if row.put}
    given |= {"filesystem": [options["fs_name"]], "fault": options["fault_names"]}
    request = Request(
        values={name: DIMENSIONS[name].choose(texts, ()) for name, texts in given.items()},
        mkfs_options=tuple(options["mkfs_options"].split()),
        mount_options=tuple(filter(None, options["mount_options"].split(","))),
        seed=options["seed"],
        pages=options["pages"],
    )
    built = from_words.build(request, options["ops"])
    check(built)
    echo(built.to_json())
    return 0


COMMANDS = (replay, compare, shrink, plan)

"""`torture shrink`: options in, a smaller plan with its factors and an exit code out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from torture import options as options_for
from torture.campaign import execution, run_directory
from torture.campaign.recorded import fact, stored
from torture.campaign.run_directory import RunDirectory
from torture.campaign.setting import check_repeated
from torture.errors import BadRequest
from torture.lab.disk import default_scratch
from torture.plan_check import read_plan
from torture.report.terminal import echo
from torture.reproduce import shrink as shrinking
from torture.reproduce import shrunk
from torture.reproduce.shared_options import EXIT_INTERRUPTED, again, chosen, how_to_repeat, run_config
from torture.reproduce.signature import Likeness, likeness
from torture.reproduce.subject import Subject, find_subject
from torture.results.store import find_run
from verify.finding import FindingKind
from verify.outcome import Outcome

PURPOSE = "shrink"


@click.command()
@again
@click.option(
    "--time",
    "time_limit_s",
    type=click.FloatRange(min=1),
    default=600,
    show_default=True,
    help="Start no trial after SECONDS; a shrink that is given as RUN goes on.",
)
@click.option("--finding-kind", type=click.Choice(get_args(FindingKind)), help="Which of its findings to keep.")
def shrink(subject: Path, results: Path, scratch: Path | None, as_json: bool, **options: Any) -> int:
    """Find a smaller plan that fails as surely in the same way, and name the factors that matter.

    It runs in the lab and on the kernel that the options name, never on what is recorded.

    Exit codes: 0 done, 5 the budget was too small or the plan does not fail.
    """
    say = options_for.say(as_json)
    given = chosen(options)
    if directory := _shrink_run(subject, results):
        config = run_directory.recorded(directory, PURPOSE, scratch or default_scratch(), say)
        check_repeated(config, given, "torture shrink", directory)
        with run_directory.reopened(directory, config, say) as run:
            return _carry_on(run, options["time_limit_s"], as_json)
    found = find_subject(subject, results)
    for line in how_to_repeat(found, given, "torture shrink"):
        echo(line, err=True)
    config = run_config(results, scratch, options, given.lab, given.kernels, found.plan.seed)
    target = _plain(chosen_target(found, options["finding_kind"]))
    with run_directory.opened(config, PURPOSE, say) as run:
        position = asdict(shrinking.Position(found.plan.to_json()))
        run.store.describe(subject=found.origin, original=found.plan.to_json(), target=target, position=position)
        return _carry_on(run, options["time_limit_s"], as_json)


def _shrink_run(given: Path, results: Path) -> Path | None:
    """The directory of a shrink that is to go on."""
    try:
        directory = find_run(given, results).resolve()
        return directory if stored(directory)[1].get("purpose") == PURPOSE else None
    except BadRequest:
        return None


def chosen_target(found: Subject, kind: str | None) -> Likeness | None:
    """The failure that is to stay: of a kind, or the first; None when the subject is not known to fail."""
    fitting = [key for key in found.expected if kind in (None, key.kind)]
    if kind and not fitting:
        kinds = ", ".join(dict.fromkeys(key.kind for key in found.expected)) or "none that is recorded"
        raise BadRequest(f"{found.origin} has no finding of kind {kind}", f"it has {kinds}")
    return likeness(fitting[0]) if fitting else None


def _carry_on(run: RunDirectory, time_limit_s: float, as_json: bool) -> int:
    """Search from where the store says it stands."""
    facts = run.store.facts()
    search = shrinking.Shrink(
        read_plan(fact(facts, "original", str)),
        next(iter(run.labs)),
        fact(facts, "target", Likeness | None),
        before=run.store.trials(),
        first_number=1 + max((task.number for task in run.store.tasks()), default=0),
        position=fact(facts, "position", shrinking.Position),
        remember=lambda position: run.store.describe(position=asdict(position), target=_plain(search.target)),
        say=lambda text: echo(text, err=True),
    )
    interrupted = execution.follow(run, search, None, time_limit_s=time_limit_s)
    plan = run.path / "shrunk.json"
    plan.write_text(search.plan.to_json() + "\n")
    if as_json:
        echo(json.dumps(shrunk.document(search, run.store.facts())))
    else:
        echo(f"{shrunk.render(search)}\nThe plan is in {plan}; `torture replay {run.path}` runs it.")
    if interrupted:
        return EXIT_INTERRUPTED
    done = search.position.phase == "done" and not search.is_hopeless
    return (Outcome.passed if done else Outcome.unknown).exit_code


def _plain(target: Likeness | None) -> dict[str, str] | None:
    return None if target is None else asdict(target)

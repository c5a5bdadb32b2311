"""The commands that reproduce: options in, a report and an exit code out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from torture import options as options_for
from torture.artefacts import tool_versions
from torture.lab.disk import default_scratch
from torture.labs import KernelChoice
from torture.order import Order
from torture.report.summary import EXIT_CODES
from torture.reproduce import replay as replaying
from torture.reproduce import workshop
from torture.reproduce.subject import Subject, differences, find_subject, kernel_facts
from torture.request import Request
from torture.store import Trial
from verify.outcome import Outcome

EXIT_INTERRUPTED = 130

_subject = click.argument("subject", type=click.Path(path_type=Path), metavar="RUN[/TRIAL]|FINDING|PLAN")
_kernel = click.option("--kernel", help="Another User-mode Linux kernel than the recorded one; '' is the packaged one.")
_kernel_arguments = click.option(
    "--kernel-arg", "kernel_arguments", multiple=True, help="A kernel parameter instead of the recorded; repeatable."
)
_jobs = click.option("--jobs", type=click.IntRange(1, 64), help="Guests at a time (default: the cores).")
_time = click.option("--time", "time_limit_s", type=click.FloatRange(min=1), help="Start no trial after SECONDS.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@dataclass(frozen=True, slots=True)
class Places:
    """Where results and disks go, and how many guests run how long."""

    results: Path
    scratch: Path | None
    jobs: int | None
    time_limit_s: float | None = None

    def order(self, lab: str, kernels: tuple[KernelChoice, ...], seed: int) -> Order:
        """The order of a run that its own source fills with tasks."""
        return Order(
            request=Request(seed=seed),
            results=self.results,
            scratch=self.scratch or default_scratch(),
            lab=lab,
            kernels=kernels,
            jobs=self.jobs,
            time_limit_s=self.time_limit_s,
        )


def say(as_json: bool) -> Any:
    """Where the first line goes: JSON leaves stdout to machines."""
    return (lambda text: click.echo(text, err=True)) if as_json else click.echo


def chosen_kernel(subject: Subject, kernel: str | None, arguments: tuple[str, ...]) -> KernelChoice:
    """The recorded kernel, unless the user chose another."""
    if kernel is None:
        return KernelChoice(subject.kernel.path, arguments or subject.kernel.arguments)
    return KernelChoice(kernel, arguments)


@click.command()
@_subject
@options_for.places
@_kernel
@_kernel_arguments
@click.option("--times", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Trials to run.")
@click.option("--until-failure", is_flag=True, help="Stop at the first that fails as recorded.")
@_jobs
@_json
def replay(subject: Path, results: Path, scratch: Path | None, as_json: bool, **options: Any) -> int:
    """Run the plan of a trial or finding again: how often it fails, and whether in the same way.

    Exit codes: 3 reproduced, 0 not reproduced, 5 nothing could be judged.
    """
    found = find_subject(subject, results)
    kernel = chosen_kernel(found, options["kernel"], options["kernel_arguments"])
    order = Places(results, scratch, options["jobs"]).order(found.lab, (kernel,), found.plan.seed)
    lab = workshop.lab_name(found.lab, kernel)
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
        return EXIT_CODES[Outcome.unknown]
    return EXIT_CODES[Outcome.failed if replayed.reproduced else Outcome.passed]


def _changed(subject: Subject, kernel: KernelChoice, trials: list[Trial]) -> list[str]:
    """What is not as it was when the subject was recorded."""
    now = kernel_facts(kernel)
    if trials:
        now |= {"kernel": trials[0].kernel, **tool_versions(trials[0])}
    return differences(subject.recorded, now)


COMMANDS = (replay,)

"""What `replay`, `compare` and `shrink` share: options, places, and the kernel that a subject is run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from torture import options as options_for
from torture.campaign.run_config import MOST_JOBS, RunConfig
from torture.campaign.setting import Setting, shell_word
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.lab.choose import KernelChoice
from torture.lab.disk import default_scratch
from torture.reproduce.subject import Subject

EXIT_INTERRUPTED = 130

F = TypeVar("F", bound=Callable[..., Any])

subject_argument = click.argument("subject", type=click.Path(path_type=Path), metavar="RUN[/TRIAL]|FINDING|PLAN")
jobs_option = click.option("--jobs", type=click.IntRange(1, MOST_JOBS), help="Guests at a time (default: the cores).")
time_option = click.option("--time", "time_limit_s", type=click.FloatRange(min=1), help="Start no trial after SECONDS.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def again(command: F) -> F:
    """The options of a command that runs the plan of a subject again: which, where, how."""
    for option in (json_option, jobs_option, options_for.setting, options_for.places, subject_argument):
        command = option(command)
    return command


def run_config(
    results: Path, scratch: Path | None, options: dict[str, Any], lab: str, kernels: tuple[KernelChoice, ...], seed: int
) -> RunConfig:
    """The config of a run that its own source fills with tasks."""
    return RunConfig(
        request=Request(seed=seed),
        results=results,
        scratch=scratch or default_scratch(),
        lab=lab,
        kernels=kernels,
        jobs=options["jobs"],
        time_limit_s=options.get("time_limit_s"),
    )


def chosen(options: dict[str, Any]) -> Setting:
    """The lab and the kernel that the user names, or the default: those that are recorded do not count."""
    if len(options["kernels"]) > 1:
        raise BadRequest("--kernel was given more than once", "`torture compare` runs on two kernels")
    return Setting.given(options["lab"], options["kernels"], options["kernel_arguments"])


def how_to_repeat(subject: Subject, given: Setting, command: str) -> list[str]:
    """A sentence if a subject was recorded elsewhere than in the default lab and the user named no other."""
    recorded = Setting(subject.lab, (subject.kernel,))
    if given != Setting() or recorded == given:
        return []
    repeated = f"{command} {shell_word(subject.origin)} {recorded.options}"
    return [f"this is the default lab and kernel; if you trust what was recorded, repeat it: {repeated}"]

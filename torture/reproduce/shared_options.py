"""What `replay`, `compare` and `shrink` share: options, places, and the kernel that a subject is run on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from torture.campaign.run_config import RunConfig
from torture.draw.request import Request
from torture.lab.choose import KernelChoice
from torture.lab.disk import default_scratch
from torture.reproduce.subject import Subject

EXIT_INTERRUPTED = 130

subject_argument = click.argument("subject", type=click.Path(path_type=Path), metavar="RUN[/TRIAL]|FINDING|PLAN")
kernel_option = click.option(
    "--kernel", help="Another User-mode Linux kernel, or bzImage, than the recorded; '' is the lab's default."
)
kernel_arguments_option = click.option(
    "--kernel-arg", "kernel_arguments", multiple=True, help="A kernel parameter instead of the recorded; repeatable."
)
jobs_option = click.option("--jobs", type=click.IntRange(1, 64), help="Guests at a time (default: the cores).")
time_option = click.option("--time", "time_limit_s", type=click.FloatRange(min=1), help="Start no trial after SECONDS.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


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


def chosen_kernel(subject: Subject, kernel: str | None, arguments: tuple[str, ...]) -> KernelChoice:
    """The recorded kernel, unless the user chose another."""
    if kernel is None:
        return KernelChoice(subject.kernel.path, arguments or subject.kernel.arguments)
    return KernelChoice(kernel, arguments)

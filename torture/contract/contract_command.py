"""`torture contract`: from options to the table and an exit code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path

import click

from torture.campaign import run_directory
from torture.campaign.run_config import MOST_JOBS, RunConfig
from torture.contract import conformance, table
from torture.contract.verdict import exit_code
from torture.dimensions import DIMENSIONS
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.lab.choose import LABS, KernelChoice, lab_for
from torture.lab.disk import default_scratch
from torture.options import known as known_options
from torture.options import places, say
from torture.report.terminal import echo
from torture.results.known import Known

PACKAGED = "packaged"
RESULT = "contract.json"


@click.command()
@click.option("--fs", "filesystems", multiple=True, help="A filesystem; repeatable, or `all`.")
@click.option("--lab", type=click.Choice(LABS), help="Where it runs (default: qemu for a bzImage, else uml).")
@click.option(
    "--kernel",
    "kernels",
    multiple=True,
    help="A guest's kernel, with parameters of its own: 'PATH [PARAMETER ...]', or `packaged`; repeatable, side by side.",
)
@click.option("--kernel-arg", "arguments", multiple=True, help="One more parameter for every kernel; repeatable.")
@click.option("--jobs", type=click.IntRange(1, MOST_JOBS), help="Guests at a time (default: the cores).")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@places
@known_options
def contract(
    filesystems: tuple[str, ...],
    lab: str | None,
    kernels: tuple[str, ...],
    arguments: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
    results: Path,
    scratch: Path | None,
    known: tuple[Known, ...],
) -> int:
    """Show which clauses of the mlock contract hold, by filesystem and kernel; see docs/contract.md."""
    choices = tuple(choose_kernels(kernels, arguments))
    config = RunConfig(
        request=Request({"filesystem": DIMENSIONS["filesystem"].choose(filesystems, Request()["filesystem"])}),
        results=results,
        scratch=scratch or default_scratch(),
        lab=lab or lab_for(*(choice.path for choice in choices)),
        kernels=choices,
        jobs=jobs,
        known=known,
    )
    with run_directory.opened(config, "contract", say(as_json)) as run:
        columns = conformance.carry_out(run, config.request["filesystem"])
    document = json.dumps(table.document(columns, {"run": run.path.name, "config": config.to_dict()}))
    (run.path / RESULT).write_text(f"{document}\n")
    echo(document if as_json else table.render(columns))
    return exit_code(entry for column in columns for entry in column.entries)


def choose_kernels(given: Iterable[str], arguments: tuple[str, ...]) -> Iterable[KernelChoice]:
    """The kernels, each with its own parameters and those for all; BadRequest for a kernel named twice."""
    seen = set()
    for text in given or (PACKAGED,):
        path, *own = _words(text) or [PACKAGED]
        choice = KernelChoice("" if path == PACKAGED else path, (*own, *arguments))
        if choice in seen:
            raise BadRequest(f"--kernel {choice.label} is given twice", "give each kernel once")
        seen.add(choice)
        yield choice


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadRequest(f"cannot read --kernel {text!r}", str(error).lower()) from error

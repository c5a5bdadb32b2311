"""`torture contract`: from options to the table and an exit code."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import click

from torture.campaign import session
from torture.campaign.run_config import Order
from torture.contract import conformance, table
from torture.contract.verdict import exit_code
from torture.draw.request import Request, choose_filesystems
from torture.errors import BadRequest
from torture.lab import clean
from torture.lab.choose import LABS, KernelChoice, lab_for
from torture.lab.disk import default_scratch
from torture.lab.run_id import Hold, new_run_id
from torture.options import places
from torture.results.store import Store

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
@click.option("--jobs", type=click.IntRange(1, 64), help="Guests at a time (default: the cores).")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@places
def contract(
    filesystems: tuple[str, ...],
    lab: str | None,
    kernels: tuple[str, ...],
    arguments: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
    results: Path,
    scratch: Path | None,
) -> int:
    """Show which clauses of the mlock contract hold, by filesystem and kernel; see docs/contract.md."""
    choices = tuple(choose_kernels(kernels, arguments))
    order = Order(
        request=Request(filesystems=choose_filesystems(filesystems)),
        results=results,
        scratch=scratch or default_scratch(),
        lab=lab or lab_for(*(choice.path for choice in choices)),
        kernels=choices,
        jobs=jobs,
    )
    run_id = new_run_id()
    directory = order.results.absolute() / run_id
    columns = carry_out(order, run_id, directory, to_stderr=as_json)
    document = json.dumps(table.document(columns, {"run": run_id, "order": order.to_dict()}))
    (directory / RESULT).write_text(f"{document}\n")
    click.echo(document if as_json else table.render(columns))
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


def carry_out(order: Order, run_id: str, directory: Path, *, to_stderr: bool) -> list[table.Column]:
    """Run everything in the directory, which is made."""
    labs = order.labs(run_id, directory)
    session.make_room(order.results, order.scratch)
    clean.reap(session.scratches(order.scratch))
    with Hold(run_id):
        directory.mkdir()
        click.echo(f"results in {directory}", err=to_stderr)
        store = Store(directory, create=True)
        try:
            store.describe(run=run_id, order=order.to_dict(), seed=order.request.seed, purpose="contract")
            return conformance.carry_out(labs, order.request.filesystems, directory, order.jobs or session.cores(), store)
        finally:
            store.close()
            shutil.rmtree(order.scratch / run_id, ignore_errors=True)

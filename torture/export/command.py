"""`torture export`: options in, files out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, get_args

import click

from torture import options as options_for
from torture.errors import BadRequest, BrokenTool
from torture.export.c import write_c
from torture.export.recipe import recipe
from torture.export.source import find_source
from verify.finding import FindingKind

_FORMS = ("c",)
_path = click.Path(path_type=Path)


@click.command()
@click.argument("subject", type=_path, metavar="RUN[/TRIAL]|FINDING|PLAN")
@options_for.places
@click.option("--trial", type=int, help="The trial of a RUN (default: the first that failed).")
@click.option("--finding-kind", type=click.Choice(get_args(FindingKind)), default=None, help="Which of its findings.")
@click.option("--c", type=_path, metavar="DIR", help="A C program and a shell script that need no torture.")
def export(
    subject: Path, results: Path, scratch: Path | None, trial: int | None, finding_kind: str | None, **options: Any
) -> None:
    """Hand a failure over: as a bundle, a C program, an fstests test or a mail."""
    given = {form: options[form] for form in _FORMS if options[form] is not None}
    if not given:
        raise BadRequest("nothing to export", "give " + ", ".join(f"--{form}" for form in _FORMS))
    source = find_source(subject, results, trial, finding_kind or "")
    try:
        if "c" in given:
            written = write_c(recipe(source.plan, source.finding), given["c"])
            click.echo(f"run it as root: sh {shlex.quote(str(written[-1]))} DEVICE")
    except OSError as error:
        raise BrokenTool(f"cannot write {error.filename}: {error.strerror}", "choose another place") from error

"""`torture export`: options in, files out."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from torture import options as options_for
from torture.errors import BadRequest, BrokenTool
from torture.export.bundle import write_bundle
from torture.export.c import write_c
from torture.export.exportable import Exportable
from torture.export.failure import Failure, find_failure
from torture.export.fstests import write_fstests
from torture.export.mail import write_mail
from torture.report.terminal import echo
from verify.finding import FindingKind

_STDOUT = "-"
_path = click.Path(path_type=Path)


@click.command()
@click.argument("subject", type=_path, metavar="RUN[/TRIAL]|FINDING|PLAN")
@options_for.places
@click.option("--trial", type=int, help="The trial of a RUN (default: the first that failed).")
@click.option("--finding-kind", type=click.Choice(get_args(FindingKind)), default=None, help="Which of its findings.")
@click.option("--bundle", type=_path, metavar="FILE", help="One tar.gz with everything, and how to replay it.")
@click.option("--c", type=_path, metavar="DIR", help="A C program and a shell script that need no torture.")
@click.option("--fstests", type=_path, metavar="DIR", help="A test for fstests, with its helper and golden output.")
@click.option("--fstests-old", is_flag=True, help="With --fstests: the names that older trees have.")
@click.option("--mail", type=_path, metavar="[FILE]", is_flag=False, flag_value=_STDOUT, help="A bug report; give it last.")
def export(
    subject: Path,
    results: Path,
    scratch: Path | None,
    trial: int | None,
    finding_kind: str | None,
    fstests_old: bool,
    **options: Any,
) -> None:
    """Hand a failure over: as a bundle, a C program, an fstests test or a mail."""
    given = {form: write for form, write in _FORMS.items() if options[form] is not None}
    if not given:
        raise BadRequest("nothing to export", "give " + ", ".join(f"--{form}" for form in _FORMS))
    if fstests_old:
        if "fstests" not in given:
            raise BadRequest("--fstests-old says which form", "give --fstests DIR too")
        given["fstests"] = partial(_fstests, old=True)
    failure = find_failure(subject, results, trial, finding_kind or "")
    for form, write in given.items():
        try:
            echo(write(failure, options[form]))
        except OSError as error:
            where = error.filename or options[form]
            raise BrokenTool(f"cannot write {where}: {error.strerror}", "choose another place") from error


def _bundle(failure: Failure, archive: Path) -> str:
    write_bundle(failure, archive)
    return f"{archive}: unpack it; its README says how to replay it"


def _c(failure: Failure, directory: Path) -> str:
    script = write_c(Exportable.of(failure.plan, failure.finding, failure.record.found), directory)[-1]
    return f"run it as root: sh {shlex.quote(str(script))} DEVICE"


def _fstests(failure: Failure, directory: Path, *, old: bool = False) -> str:
    written = write_fstests(Exportable.of(failure.plan, failure.finding, failure.record.found), directory, old=old)
    listed = "\n".join(f"  {path}" for path in written)
    return f"copy these into fstests, and add the line to src/Makefile:\n{listed}"


def _mail(failure: Failure, file: Path) -> str:
    text = write_mail(failure)
    if str(file) == _STDOUT:
        return text.rstrip("\n")
    file.write_text(text)
    return f"{file}: send it to the list of the filesystem"


_FORMS: dict[str, Callable[[Failure, Path], str]] = {
    "bundle": _bundle,
    "c": _c,
    "fstests": _fstests,
    "mail": _mail,
}

"""The one way to the terminal: nothing that was read from a plan, store, finding, log or guest can steer it. Pure but for
printing."""

from __future__ import annotations

import sys

import click

from verify.printable import printable_lines


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print lines to stdout, or stderr; characters that are not printable, or that the stream cannot have, are escaped."""
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    click.echo(printable_lines(text).encode(encoding, "backslashreplace").decode(encoding), err=err, nl=nl)

"""`torture known`: the known list, and whether it holds on a kernel."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import click

from torture import options as options_for
from torture.campaign import execution, run_directory
from torture.report.terminal import echo
from torture.reproduce.known_check import Check
from torture.reproduce.shared_options import EXIT_INTERRUPTED, chosen, jobs_option, json_option, run_config
from torture.results.known import Known
from torture.results.known_file import named
from verify.outcome import Outcome


@click.group()
def known() -> None:
    """Findings that are known: what the list says, and whether it holds on a kernel."""


@known.command("list")
@options_for.known
@click.argument("names", nargs=-1, metavar="[ENTRY...]")
@json_option
def list_entries(known: tuple[Known, ...], names: tuple[str, ...], as_json: bool) -> int:
    """Print the entries with their reasons; docs/kernel-behaviour.md explains them."""
    entries = named(known, names)
    echo(json.dumps([asdict(entry) for entry in entries]) if as_json else "\n".join(map(_line, entries)))
    return 0


def _line(entry: Known) -> str:
    values = [f"{name} {', '.join(patterns)}" for name, patterns in entry.values.items()]
    kernel = f"kernel {entry.kernel}" if entry.kernel else ""
    fixed = f"fixed by {entry.fixed_by}" if entry.fixed_by else ""
    facts = "; ".join(filter(None, (*values, ", ".join(entry.kind), ", ".join(entry.circumstances), kernel, fixed)))
    return f"{entry.name}: {entry.reason}\n    {facts}"


@known.command()
@options_for.places
@options_for.setting
@options_for.known
@click.argument("names", nargs=-1, metavar="[ENTRY...]")
@click.option("--times", type=click.IntRange(1, 1000), default=8, show_default=True, help="Trials of an entry at most.")
@jobs_option
@json_option
def check(
    names: tuple[str, ...], known: tuple[Known, ...], results: Path, scratch: Path | None, as_json: bool, **options: Any
) -> int:
    """Run the plan of each entry until it shows what the entry says.

    Exit codes: 0 all entries that should hold on this kernel do, 3 one was not seen, 5 nothing could be judged.
    """
    given = chosen(options)
    config = run_config(results, scratch, options, given.lab, given.kernels, seed=0)
    with run_directory.opened(config, "known check", options_for.say(as_json)) as run:
        (label,) = run.labs
        source = Check(known, named(known, names), label, options["times"], date.today())
        interrupted = execution.follow(run, source, None)
    echo(json.dumps(_document(source)) if as_json else "\n".join(source.render()))
    if interrupted:
        return EXIT_INTERRUPTED
    if not any(each.judged for each in source.seen):
        return Outcome.unknown.exit_code
    return (Outcome.failed if source.refuted else Outcome.passed).exit_code


def _document(source: Check) -> dict[str, Any]:
    return {
        "entries": [
            {
                "name": each.entry.name,
                "seen": each.shown,
                "judged": each.judged,
                "release": each.release,
                "not_excused": each.why_not_excused(source.today) if each.judged else "",
                "unjudged": each.unjudged,
            }
            for each in source.seen
        ],
        "refuted": [each.entry.name for each in source.refuted],
        "not_covered": dict(source.unexplained),
    }

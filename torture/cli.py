"""The command line. Options become one frozen request; one place turns errors into a message and an exit code."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

import click

from devicemapper.errors import BlockStackError
from torture import options as options_for
from torture.campaign import campaign_file, execution, run_directory
from torture.campaign.recorded import stored
from torture.campaign.run_config import MOST_JOBS, RunConfig
from torture.campaign.setting import Setting, check_repeated, how_to_go_on
from torture.contract.contract_command import contract
from torture.errors import BadRequest, BrokenTool, MissingRequirement, TortureError
from torture.export.export_command import export
from torture.image.verify_command import verify
from torture.lab import clean as cleaning
from torture.lab import doctor as doctoring
from torture.lab import guards, sandbox
from torture.lab.choose import LABS, KernelChoice, all_labs, lab_for
from torture.lab.device_identity import check_same
from torture.lab.disk import DISK_MIB, default_scratch
from torture.report import document, streams, summary
from torture.report.formats import FORMATS, TEXT, exit_code
from torture.report.terminal import echo
from torture.reproduce import replay_command as reproducing
from torture.reproduce.known_command import known as known_command
from torture.results.excuses import known_of
from torture.results.known import Known
from torture.results.store import find_run
from verify.printable import printable

_MOST_SHOWN = 200
EXIT_BROKEN, EXIT_USAGE, EXIT_NOTHING_RAN, EXIT_INTERRUPTED = 1, 2, 4, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="torture")
def cli() -> None:
    """Can anything written through an mlocked shared mapping be lost without a word?

    Exit codes: 0 pass, 1 the tool broke, 2 usage, 3 fail (silent loss or another broken promise), 4 nothing ran,
    5 unknown, 6 late (loss reported only by the sync) and nothing worse, 130 interrupted.
    """


@cli.command(cls=options_for.DrawingCommand)
@options_for.places
@click.option("--lab", type=click.Choice(LABS), help="Where trials run (default: qemu for a bzImage, else uml).")
@click.option("--kernel", default="", help="A User-mode Linux kernel, or a bzImage, instead of the default.")
@click.option("--kernel-arg", "kernel_arguments", multiple=True, help="A parameter for the guest's kernel; repeatable.")
@click.option("--mkfs-options", default="", help="Options for mkfs, in one word for the shell.")
@click.option("--mount-options", default="", help="Options for mount, separated by commas.")
@click.option("--seed", type=int, help="Seed of all plans (default: drawn).")
@click.option("--count", type=int, default=1, show_default=True, help="More than 1: draw N plans from the whole space.")
@click.option(
    "--plan",
    "plan_files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Run the plan in this file, as `torture show RUN --trial N --plan` prints it; repeatable.",
)
@click.option("--time", "time_limit_s", type=click.FloatRange(min=1), help="Start no trial after so many seconds.")
@click.option("--jobs", type=click.IntRange(1, MOST_JOBS), help="Guests at a time (default: the cores).")
@click.option("--pages", type=int, default=8, show_default=True, help="Pages each worker maps.")
@click.option("--workers", type=int, default=2, show_default=True, help="Workers on each file.")
@click.option("--memlock", "memlock_bytes", type=int, default=-1, help="RLIMIT_MEMLOCK of workers in bytes.")
@click.option("--control/--no-control", default=True, help="Run the control arm of each pinned plan.")
@click.option("--destroy", type=click.Path(path_type=Path), help="local: use this DEVICE; everything on it is lost.")
@click.option("--yes", is_flag=True, help="Confirms --destroy without asking.")
@options_for.known
@options_for.form
def run(results: Path, scratch: Path | None, known: tuple[Known, ...], form: str, **options: Any) -> int:
    """Run trials; without options a representative matrix in the best lab found."""
    request = options_for.request(options)
    config = RunConfig(
        request=request,
        results=results,
        scratch=scratch or default_scratch(),
        lab=options["lab"] or lab_for(options["kernel"]),
        kernels=(KernelChoice(options["kernel"], options["kernel_arguments"]),),
        jobs=options["jobs"],
        time_limit_s=options["time_limit_s"],
        destroy=options["destroy"],
        known=known,
    )
    with _claimed(config, options["destroy"], options["yes"]) as claimed:
        return _report(execution.carry_out(claimed, options_for.say(form != TEXT)), form)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@options_for.places
@options_for.known
@options_for.form
def campaign(file: Path, results: Path, scratch: Path | None, known: tuple[Known, ...], form: str) -> int:
    """Run a campaign FILE.toml until its budget is used up; see docs/campaigns.md."""
    scratch = scratch or default_scratch()
    config = campaign_file.load(file, results=results, scratch=scratch, draw_seed=options_for.draw_seed, known=known)
    for entry in config.known:
        if entry.has_expired(date.today()):
            print_to_stderr(f"known finding {entry.name} counts again since {entry.expires}")
    return _report(execution.carry_out(config, options_for.say(form != TEXT)), form)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@options_for.places
@options_for.setting
@click.option("--on-finding", default="", help="The program that the campaign starts with each finding's directory.")
@click.option("--file", "campaign_toml", type=click.Path(path_type=Path), help="The campaign file, instead of all these.")
@click.option("--destroy", type=click.Path(path_type=Path), help="The DEVICE of the run; everything on it is lost.")
@click.option("--yes", is_flag=True, help="Confirms --destroy without asking.")
@options_for.form
def resume(run: Path, results: Path, scratch: Path | None, form: str, **options: Any) -> int:
    """Go on with a run or campaign that was killed: no trial lost but those in flight, none counted twice.

    Lab, kernel, program and device are never taken from what is stored: where they are not the defaults, repeat them, or
    give the campaign file. Without them, the command line to repeat is shown.
    """
    say = options_for.say(form != TEXT)
    directory = find_run(run, results).resolve()
    config = run_directory.recorded(directory, execution.PURPOSE, scratch or default_scratch(), say)
    device, file = options["destroy"], options["campaign_toml"]
    given = Setting.given(options["lab"], options["kernels"], options["kernel_arguments"], options["on_finding"], device)
    if file is None:
        check_repeated(config, given, "torture resume", directory)
    elif given == Setting():
        campaign_file.check_same(file, config)
    else:
        raise BadRequest("--file says it all", "leave out --lab, --kernel, --kernel-arg, --on-finding and --destroy")
    with _claimed(config, device, options["yes"]) as claimed:
        return _report(execution.resume(directory, claimed, say), form)


def _report(ended: execution.Ended, form: str) -> int:
    """Print what a run found; its exit code."""
    echo(FORMATS[form](ended.trials, ended.facts))
    if ended.interrupted:
        resume = how_to_go_on(ended.config, "torture resume", ended.directory)
        print_to_stderr(f"interrupted; what was finished is kept in {ended.directory}; to go on: {resume}")
        return EXIT_INTERRUPTED
    return exit_code(ended.trials, ended.facts)


def print_to_stderr(text: str) -> None:
    """A line that must not mix with results."""
    echo(text, err=True)


@contextmanager
def _claimed(config: RunConfig, device: Path | None, yes: bool) -> Iterator[RunConfig]:
    """The config with the device that the user gives up for it, if any; nobody else gets that one meanwhile. BadRequest if
    the config is of a run that began on another device."""
    if device is None:
        yield config
        return
    with guards.Claim(device, DISK_MIB << 20) as claim:
        if config.device and config.destroy:
            check_same(config.device, config.destroy, claim.identity, claim.device)
        _confirm(claim, yes)
        claim.begin()
        yield replace(config, destroy=claim.device, device=claim.identity)


def _confirm(claim: guards.Claim, yes: bool) -> None:
    print_to_stderr(f"everything on {claim.given} will be lost: {claim.describe()}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadRequest(f"--destroy {claim.given} was not confirmed", "add --yes, or answer on a terminal")
    click.confirm("Go on?", abort=True, err=True)


@cli.command()
@options_for.places
@click.option("--kernel", default="", help="A User-mode Linux kernel, or a bzImage, instead of the default.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def doctor(results: Path, scratch: Path | None, kernel: str, as_json: bool) -> int:
    """Show what can run here and what is missing, with the package that brings it."""
    scratch = scratch or default_scratch()
    with run_directory.temporary(results, scratch) as (run_id, directory):
        reports = doctoring.examine(all_labs(kernel, run_id, directory, scratch))
    missing = doctoring.missing_tools()
    if as_json:
        echo(
            json.dumps({"missing": missing, "walls": sandbox.what_holds(), "labs": [asdict(report) for report in reports]})
        )
    else:
        echo(doctoring.render(reports, missing), nl=False)
    return 0 if any(not report.unavailable for report in reports) else EXIT_NOTHING_RAN


@cli.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@options_for.places
@click.option("--trial", type=int, help="Show one trial: its verdict, evidence and findings page by page.")
@click.option("--plan", "plan_only", is_flag=True, help="With --trial: print its plan.")
@options_for.form
def show(run: Path, results: Path, scratch: Path | None, trial: int | None, plan_only: bool, form: str) -> int:
    """Show a stored run, or one trial of it."""
    directory = find_run(run, results)
    trials, facts = stored(directory)
    if trial is None:
        if plan_only:
            raise BadRequest("--plan needs --trial", f"trials are 1 to {len(trials)}")
        echo(FORMATS[form](trials, facts))
        return 0
    chosen = [each for each in trials if each.number == trial]
    if not chosen:
        raise BadRequest(f"run {directory.name} has no trial {trial}", f"it has {len(trials)} trials, numbered from 1")
    if plan_only:
        echo(chosen[0].plan.to_json())
    elif form == "json":
        echo(json.dumps(document.document(chosen, facts)["trials"][0]))
    else:
        place = directory / "trials" / chosen[0].directory_name
        echo(summary.detail(chosen[0], place, known_of(facts), date.today()))
    return 0


@cli.command()
@options_for.places
def clean(results: Path, scratch: Path | None) -> int:
    """Remove what killed runs left: guests, mounts, dm devices, loop devices, scratch disks. Results stay."""
    reaped = cleaning.reap(cleaning.scratches(scratch))
    echo("\n".join(reaped.done) if reaped.done else "nothing was left behind")
    if reaped.stuck:
        raise BrokenTool("; ".join(reaped.stuck), "see who uses it (fuser, dmesg), and run `torture clean` again")
    return 0


for _command in (contract, verify, *reproducing.COMMANDS):
    cli.add_command(_command)
cli.add_command(export)
cli.add_command(known_command)


def main() -> None:
    """Entry point of the `torture` command: runs it and exits with its code."""
    streams.prepare()
    sys.exit(_guarded())


def _guarded() -> int:
    try:
        code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        print_to_stderr(f"torture: {error.format_message()}")
        return EXIT_USAGE
    except (TortureError, BlockStackError) as error:
        print_to_stderr(printable(f"torture: {error}"))
        return _exit_code(error)
    except OSError as error:
        return EXIT_BROKEN if error.errno in streams.NOBODY_LISTENS else _bug(error)
    except Exception as error:
        return _bug(error)


def _bug(error: Exception) -> int:
    """The last resort: one line for the user, and what happened in a file that nobody else can read."""
    written = "".join(traceback.format_exception(error))
    what = f"{type(error).__name__}: {error}"[:_MOST_SHOWN]
    try:
        descriptor, name = tempfile.mkstemp(prefix="torture-traceback-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(written)
    except OSError as refused:
        name = f"not written: {refused}"
    print_to_stderr(printable(f"torture: this is a bug in torture, please report it: {what}; the traceback: {name}"))
    return EXIT_BROKEN


def _exit_code(error: Exception) -> int:
    if isinstance(error, BadRequest):
        return EXIT_USAGE
    if isinstance(error, MissingRequirement):
        return EXIT_NOTHING_RAN
    return EXIT_BROKEN

"""`torture verify`: a stored run or finding is judged again, offline; a disk image is brought up in a lab and judged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from torture import options as options_for
from torture.campaign.recorded import stored
from torture.campaign.run_directory import temporary
from torture.errors import BadRequest
from torture.filesystems.words import check_words
from torture.image.image_ledger import Ledger, check_belongs, choose_filesystem, kept_position, load_ledger
from torture.judge import Verdict, judge, judge_image
from torture.lab.base import GuestLost, Lab
from torture.lab.choose import LABS, LOCAL, KernelChoice, lab_for, make_labs
from torture.lab.disk import copy_image, default_scratch
from torture.report import summary
from torture.report.formats import FORMATS, TEXT, exit_code
from torture.report.terminal import echo
from torture.report.words import one_item
from torture.reproduce.subject import Subject, find_subject
from torture.results.store import STORE, find_run, trial_directory
from torture.rig.record import LEDGER, Record
from torture.trial.examination import EXAMINATION, Examination
from verify import codec
from verify.circumstances import described


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An image, what it is judged by, and where: `filesystem` None is what the image says."""

    image: Path
    ledger: Ledger
    filesystem: str | None
    mount_options: tuple[str, ...]
    unmounted: bool
    position: int | None
    lab: str
    kernel: KernelChoice


@dataclass(frozen=True, slots=True)
class _Judged:
    """A verdict with what it was reached on."""

    verdict: Verdict
    filesystem: str
    kernel: str


@click.command()
@click.argument("subject", type=click.Path(path_type=Path), metavar="[RUN[/TRIAL]|FINDING]", required=False)
@options_for.places
@click.option("--image", type=click.Path(path_type=Path), help="Judge this disk image, raw or gzipped; it stays as it is.")
@click.option("--ledger", type=click.Path(path_type=Path), help="--image: the ledger.jsonl of its trial.")
@click.option("--fs", "filesystem", help="--image: the filesystem (default: what the image says).")
@click.option("--mount-options", help="--image: options for mount, separated by commas.")
@click.option("--position", type=int, help="--image: the power went after so many records of the ledger.")
@click.option("--unmounted", is_flag=True, help="--image: nothing crashed, it was unmounted in order.")
@click.option("--lab", type=click.Choice(LABS), help="--image: where (default: qemu for a bzImage, else uml).")
@click.option("--kernel", default="", help="--image: a User-mode Linux kernel, or a bzImage, instead of the default.")
@click.option("--kernel-arg", "kernel_arguments", multiple=True, help="--image: a kernel parameter; repeatable.")
@options_for.form
def verify(subject: Path | None, results: Path, scratch: Path | None, form: str, **options: Any) -> int:
    """Judge a stored run or finding again, offline, or a disk image that a crash left.

    An image is judged against --ledger, or that of RUN/TRIAL or FINDING: a copy of it is mounted in a guest, read and
    checked. What the ledger says was synced must be there.
    """
    if options["image"] is None:
        if subject is None:
            raise BadRequest("nothing to judge", "give RUN, FINDING, or --image DISK --ledger LEDGER")
        return _verify_stored(subject, results, options, form)
    wanted = _wanted(subject, results, options)
    judged = _examined(wanted, results, scratch or default_scratch())
    echo(json.dumps(_document(wanted, judged)) if form != TEXT else _render(wanted, judged))
    return judged.verdict.outcome.exit_code


# -- stored -----------------------------------------------------------------------------------------------------------


def _verify_stored(subject: Path, results: Path, options: dict[str, Any], form: str) -> int:
    unused = [name for name in ("ledger", "filesystem", "mount_options", "position", "unmounted") if options[name]]
    if unused:
        raise BadRequest(f"--{unused[0].replace('_', '-')} is about an image", "give --image DISK too")
    if not any((candidate / STORE).is_file() for candidate in (subject, results / subject)):
        return _verify_one(find_subject(subject, results), form)
    directory = find_run(subject, results)
    trials, facts = stored(directory)
    again = [replace(trial, verdict=judge(trial.plan, trial_directory(directory, trial))) for trial in trials]
    for old, new in zip(trials, again, strict=True):
        if old.verdict.outcome != new.verdict.outcome:
            was, now = old.verdict.outcome.value, new.verdict.outcome.value
            echo(f"trial {old.number}: was {was}, now {now}", err=True)
    echo(FORMATS[form](again, facts))
    return exit_code(again, facts)


def _verify_one(found: Subject, form: str) -> int:
    """A finding or a trial from what it left."""
    if found.directory is None:
        raise BadRequest(f"{found.origin} is a plan, which shows nothing", "give RUN, RUN/TRIAL or FINDING")
    verdict = judge(found.plan, found.directory)
    judged = _Judged(verdict, found.plan.filesystem, Record.read(found.directory).kernel)
    facts = {"subject": found.origin, **_verdict_document(judged)}
    echo(json.dumps(facts) if form != TEXT else "\n".join(map(one_item, _verdict_lines(found.origin, judged))))
    return verdict.outcome.exit_code


# -- images -----------------------------------------------------------------------------------------------------------


def _wanted(subject: Path | None, results: Path, options: dict[str, Any]) -> _Wanted:
    """What the options ask for; a finding brings what they leave out."""
    found, ledger = None, options["ledger"] and options["ledger"].resolve()
    if subject is not None:
        found = find_subject(subject, results)
        ledger = ledger or (found.directory / LEDGER if found.directory else None)
    if ledger is None:
        raise BadRequest("an image needs what it is judged by", "give --ledger LEDGER, RUN/TRIAL or FINDING")
    if options["unmounted"] and options["position"] is not None:
        raise BadRequest("--position says when the power went, --unmounted that it did not", "give one of them")
    kernel = KernelChoice(options["kernel"], options["kernel_arguments"])
    if options["lab"] == LOCAL and kernel != KernelChoice("", ()):
        raise BadRequest("--kernel and --kernel-arg choose a guest's kernel", "leave them out with --lab local")
    judged_by, position = load_ledger(ledger), options["position"]
    if position is None and not options["unmounted"]:
        position = kept_position(options["image"], judged_by)
    return _Wanted(
        image=options["image"],
        ledger=judged_by,
        filesystem=options["filesystem"] or (found.plan.filesystem if found else None),
        mount_options=_mount_options(options["mount_options"], found),
        unmounted=options["unmounted"] or (found is not None and position is None),
        position=position,
        lab=options["lab"] or lab_for(options["kernel"]),
        kernel=kernel,
    )


def _mount_options(given: str | None, found: Subject | None) -> tuple[str, ...]:
    if given is None:
        return found.plan.mount_options if found else ()
    return tuple(filter(None, given.split(",")))


def _examined(wanted: _Wanted, results: Path, scratch: Path) -> _Judged:
    """In a run of its own that leaves nothing."""
    expected = wanted.ledger.expectations(wanted.position, unmounted=wanted.unmounted)
    with temporary(results, scratch) as (run_id, run):
        directory = run / "image"
        directory.mkdir()
        copy = scratch / run_id / "image.img"
        copy_image(wanted.image, copy)
        row = choose_filesystem(wanted.image, copy, wanted.filesystem)
        check_words(row.name, row.words, (), wanted.mount_options, ("", "--mount-options"))
        examination = Examination(row.name, wanted.mount_options, not wanted.unmounted or expected.crash)
        (directory / EXAMINATION).write_text(codec.encode(examination))
        shutil.copyfile(wanted.ledger.path, directory / LEDGER)
        (lab,) = make_labs(wanted.lab, [wanted.kernel], scratch, None, run_id=run_id, results=run).values()
        kernel = look_at(replace(lab, image=copy), directory)
        record = Record.read(directory)
        if record.state == "ran" and not record.hung and not record.unmountable:
            check_belongs(wanted.image, wanted.ledger, directory)
        verdict = judge_image(expected, directory)
        told = tuple(described(verdict.findings, wanted.ledger.records[: wanted.position]))
        return _Judged(replace(verdict, findings=told), row.name, kernel)


def look_at(lab: Lab, directory: Path) -> str:
    """Have a guest examine its disk; a guest that is lost leaves a record that says so. The guest's kernel."""
    guest, kernel = None, "unknown"
    try:
        guest = lab.boot(0)
        kernel = guest.kernel
        guest.examine(directory, lambda _: None)
    except GuestLost as lost:
        hung = f"{lost}\n{lost.evidence}" if lost.hung and lost.evidence else ""
        Record(state="ran" if hung else "unknown", reason=str(lost), hung=hung).write(directory)
    finally:
        if guest is not None:
            guest.end()
    return kernel


# -- words ------------------------------------------------------------------------------------------------------------


def _when(wanted: _Wanted) -> str:
    """As of when the image is judged."""
    if wanted.unmounted:
        return "as the ledger says it ended"
    records = len(wanted.ledger.records)
    return f"power lost after {records if wanted.position is None else wanted.position} of {records} records"


def _render(wanted: _Wanted, judged: _Judged) -> str:
    head = f"image {wanted.image}, judged by {wanted.ledger.path}, {_when(wanted)}"
    return "\n".join(map(one_item, _verdict_lines(head, judged)))


def _verdict_lines(head: str, judged: _Judged) -> Iterator[str]:
    verdict = judged.verdict
    yield head
    yield f"{judged.filesystem}, kernel {judged.kernel}{': ' if verdict.reason else ''}{verdict.reason}"
    yield from (f"  {summary.finding_line(finding)}" for finding in verdict.findings)
    yield summary.outcome_line(verdict.outcome)


def _document(wanted: _Wanted, judged: _Judged) -> dict[str, Any]:
    facts = {"image": str(wanted.image), "ledger": str(wanted.ledger.path), "as_of": _when(wanted)}
    return {**facts, **_verdict_document(judged)}


def _verdict_document(judged: _Judged) -> dict[str, Any]:
    verdict = judged.verdict
    return {
        "filesystem": judged.filesystem,
        "kernel": judged.kernel,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "exit_code": verdict.outcome.exit_code,
        "findings": [asdict(finding) for finding in verdict.findings],
    }

"""`--mail`: a bug report in plain text, 72 columns wide, as the lists of filesystems like it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import TextWrapper

from torture.errors import BadRequest
from torture.export.exportable import circumstance, promise_of, title
from torture.export.failure import Failure, evidence
from torture.export.quoting import mail_header
from torture.filesystems import filesystem
from torture.lab.choose import LAB_CLASSES
from torture.plan import Plan
from torture.report.words import first_line
from torture.results.statistics import wilson
from torture.rig.record import KERNEL_LOG, LEDGER
from verify import ledger, stamp
from verify.descriptors import opened_kept
from verify.finding import Finding
from verify.ledger_file import read_ledger
from verify.observation import Page, read_observations
from verify.printable import printable
from verify.stamp import Look, Span
from workloads.plan import Op, WorkerPlan

COLUMNS = 72
_LOG_LINES = 20
_DUMP_BYTES = 128
_ROW_BYTES = 16
_LOG_BYTES = 1 << 16
_CLOSING = (
    "Found with torture. The plan, the ledger of stores and syncs, all observations and the logs are there on request, and"
    " so is a C program that reproduces this without torture."
)


def write_mail(failure: Failure) -> str:
    """The whole mail. BadRequest when there is no finding to report, or its evidence cannot be used."""
    finding, directory, plan = failure.finding, failure.directory, failure.plan
    if finding is None or directory is None:
        raise BadRequest("there is no finding to report", "give the directory of a finding, or a trial that failed")
    with evidence():
        sections = [
            mail_header("Subject", _subject(plan, finding)),
            "Hi,",
            _folded([_summary(plan, finding)]),
            _section("Kernel and configuration", _configuration(failure)),
            _section("Steps", (f"{number}. {step}" for number, step in enumerate(_steps(plan, finding), 1))),
            _section("Expected", [finding.expected, f"The promise: {promise_of(finding)}"]),
            _section("Found", _found(finding)),
            _section("Frequency", _frequency(failure)),
            _section("First bad page", _dump(plan, finding, directory)),
            _section("Kernel log", _log(directory / KERNEL_LOG)),
            _folded([_CLOSING]),
        ]
    return "\n\n".join(sections) + "\n"


def _subject(plan: Plan, finding: Finding) -> str:
    """The longest title that fits into the line."""
    whole = f"[BUG] {title(plan, finding)}"
    short = f"[BUG] {title(plan, replace(finding, layout='', pin=''))}"
    bare = short.rpartition(", ")[0]
    room = COLUMNS - len("Subject: ")
    return next((text for text in (whole, short, bare) if len(text) <= room), bare[:room])


def _summary(plan: Plan, finding: Finding) -> str:
    pinned = f" ({finding.pin})" if finding.pin not in ("", "none") else ""
    return f"{title(plan, finding)}. The stores went through a shared file mapping{pinned}. The loss was {finding.told}."


def _configuration(failure: Failure) -> Iterator[str]:
    plan, versions = failure.plan, failure.versions
    row = filesystem(plan.filesystem)
    yield f"kernel: {failure.record.kernel or (versions and versions.kernel) or 'unknown'}"
    if versions and versions.arguments:
        yield f"kernel arguments: {versions.arguments}"
    if versions and versions.kernel_path:
        yield LAB_CLASSES[versions.lab].in_words(versions.kernel_path)
    yield f"filesystem: {plan.filesystem}, {row.size_mib} MiB, page size {plan.page_bytes} bytes"
    yield f"mkfs: {(versions and versions.mkfs) or row.mkfs[0]}"
    yield f"mkfs options: {' '.join((*row.mkfs[1:], *plan.mkfs_options)) or 'none'}"
    yield f"mount options: {','.join((*row.mount_options, *plan.mount_options)) or 'defaults'}"


def _steps(plan: Plan, finding: Finding) -> Iterator[str]:
    row = filesystem(plan.filesystem)
    yield f"{' '.join((*row.mkfs, *plan.mkfs_options))} DEVICE; mount"
    for file in plan.files:
        if not finding.layout or file.layout == finding.layout:
            yield f"make {file.name}, {file.pages} pages, layout {file.layout}; sync"
    concerned = [worker for worker in plan.workers if finding.layout in ("", _layout(plan, worker))]
    for worker in concerned:
        yield _worker(worker)
    if others := len(plan.workers) - len(concerned):
        yield f"({others} more workers on other files at the same time)"
    yield f"fault: {plan.fault_names}{_parameters(plan)} ({circumstance(plan)})"
    yield "end the processes, unmount, mount, read"


def _layout(plan: Plan, worker: WorkerPlan) -> str:
    return next(file.layout for file in plan.files if file.file == worker.file)


def _worker(worker: WorkerPlan) -> str:
    pages = f"pages {worker.first_page}..{worker.first_page + worker.pages - 1}"
    steps = ", ".join(map(_step, worker.ops))
    return f"worker {worker.worker}: mmap(MAP_SHARED) {pages} of {worker.path}, pin {worker.pin}; {steps}" + (
        f" (access path {worker.access})" if worker.access != "store" else ""
    )


def _step(op: Op) -> str:
    if op.kind == "store":
        return f"store pages {op.first_page}..{op.first_page + op.pages - 1}" if op.pages else "store all pages"
    return op.name if op.kind == "sync" else "background writeback" if op.kind == "background" else op.kind


def _parameters(plan: Plan) -> str:
    given = [f"{key}={value}" for fault in plan.faults for key, value in fault.parameters.items()]
    return f":{','.join(given)}" if given else ""


def _found(finding: Finding) -> Iterator[str]:
    yield first_line(finding.found)
    if finding.pages:
        last = finding.first_page + finding.pages - 1
        yield f"{finding.name}, pages {finding.first_page}..{last}, sectors {finding.sectors:#x} of each page"
    yield f"seen by the {finding.read} read; {finding.told}"


def _frequency(failure: Failure) -> Iterator[str]:
    frequency = failure.frequency
    if frequency is None:
        yield "seen once; the run it belongs to is not here"
        return
    interval = wilson(frequency.seen, frequency.tried)
    yield f"{frequency.seen} of {frequency.tried} trials ({interval} with 95 % confidence)"
    yield frequency.control


def _log(path: Path) -> Iterator[str]:
    """The end of the kernel's log."""
    lines: list[bytes] = []
    if path.exists():
        with opened_kept(path) as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES))
            lines = log.read().splitlines()
    yield from (line.decode(errors="replace") for line in lines[-_LOG_LINES:] or (b"(nothing)",))


# -- the first bad page --------------------------------------------------------------------------------------------


def _dump(plan: Plan, finding: Finding, directory: Path) -> Iterator[str]:
    content = _content(plan, finding, directory) if finding.pages else None
    if content is None:
        yield f"(no page is concerned, or its content was not kept: {finding.kind})"
        return
    yield f"{finding.name} page {finding.first_page}"
    yield from dump(content)


def _content(plan: Plan, finding: Finding, directory: Path) -> bytes | None:
    """What the read saw: it was kept if it was irregular, and is made again if not. None if neither is possible."""
    path = directory / f"{finding.read}-{finding.file}.jsonl"
    for seen in read_observations(path) if path.exists() else ():
        if isinstance(seen, Page) and seen.page == finding.first_page and seen.raw:
            return seen.raw
        if isinstance(seen, Span) and seen.first_page <= finding.first_page < seen.first_page + seen.pages:
            return _made(plan, finding, directory, seen)
    return None


def _made(plan: Plan, finding: Finding, directory: Path, seen: Span) -> bytes:
    if seen.look is not Look.OWN:
        return bytes(plan.page_bytes)
    return stamp.page(
        run=plan.stamp_run,
        file=_content_file(directory, finding.file),
        page=finding.first_page,
        generation=seen.generation,
        writer=seen.writer if seen.generation else 0,
        kind=stamp.Kind.STORE if seen.generation else stamp.Kind.BASE,
        page_bytes=plan.page_bytes,
    )


def _content_file(directory: Path, file: int) -> int:
    for record in read_ledger(directory / LEDGER):
        if isinstance(record, ledger.File) and record.file == file:
            return record.content_file
    return file


def dump(content: bytes) -> Iterator[str]:
    """The beginning of a page as xxd(1) prints it; rows that repeat the one before are left out, as there."""
    previous, skipped = b"", False
    for offset in range(0, min(len(content), _DUMP_BYTES), _ROW_BYTES):
        row = content[offset : offset + _ROW_BYTES]
        if row == previous:
            if not skipped:
                yield "*"
            skipped = True
            continue
        previous, skipped = row, False
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{offset:08x}: {row.hex(' ', 2):<39}  {text}"
    yield "(zeros to the end)" if not any(content[_DUMP_BYTES:]) else f"({len(content)} bytes in all)"


# -- text ----------------------------------------------------------------------------------------------------------


def _section(name: str, paragraphs: Iterable[str]) -> str:
    return f"{name}\n{_folded(paragraphs, '  ', '    ')}"


def _folded(paragraphs: Iterable[str], first: str = "", next_ones: str = "") -> str:
    """Paragraphs in 72 columns. All that the body says comes through here: no text makes lines of its own."""
    fold = TextWrapper(COLUMNS, initial_indent=first, subsequent_indent=next_ones, break_on_hyphens=False).wrap
    return "\n".join(line for paragraph in paragraphs for line in fold(printable(paragraph)))

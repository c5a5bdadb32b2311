"""The checker: all files of a run, what was read of them against what they may hold. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from verify.expectation import FileExpectation
from verify.file_check import FileCheck, Located
from verify.finding import Finding, Read
from verify.identity import Identity
from verify.observation import Observation, ObservationError
from verify.oracle import Expectations

MAX_FINDINGS_PER_FILE = 10_000
"""Then the rest of the file is left unjudged: one shuffled page by page must not fill the memory."""


def check(
    expectations: Expectations, observations_by_file: Mapping[int, Iterable[Observation]], read: Read
) -> list[Finding]:
    """All findings on the files of a run, by file and page; adjacent pages with the same facts are one.

    A warm read went through the page cache that took the stores, so a crash to come does not excuse it from
    showing the last one; a cold read went to the disk after a remount. Raises ObservationError if a file was
    not observed from beginning to end.
    """
    findings: list[Finding] = []
    for file, expectation in expectations.files.items():
        if file not in observations_by_file:
            raise ObservationError(f"{expectation.file.name}: not observed")
        identity = Identity(expectations.run, expectations.page_bytes, expectation.file)
        checking = FileCheck(identity, expectation, crash=expectations.crash and read == "cold")
        located = checking.located(observations_by_file[file])
        findings += _merge(_finding(each, expectation, read) for each in located)
    return findings


def _finding(located: Located, expectation: FileExpectation, read: Read) -> Finding:
    file, breach = expectation.file, located.breach
    return Finding(
        kind=breach.kind,
        promise=breach.promise,
        file=file.file,
        name=file.name,
        layout=file.layout,
        pin=located.pin,
        access=located.access,
        writer=breach.writer,
        first_page=located.first_page,
        pages=located.pages,
        sectors=breach.sectors,
        expected=breach.expected,
        found=breach.found,
        reported=breach.reported,
        read=read,
        due=breach.due,
    )


def _merge(findings: Iterable[Finding]) -> list[Finding]:
    """Findings come by page; a page may have several, so several grow at the same time."""
    done: list[Finding] = []
    growing: dict[Finding, Finding] = {}
    for finding in findings:
        facts = replace(finding, first_page=0, pages=0)
        before = growing.get(facts)
        if before and before.first_page + before.pages == finding.first_page:
            growing[facts] = replace(before, pages=before.pages + finding.pages)
            continue
        if before:
            done.append(before)
        growing[facts] = finding
        if len(done) + len(growing) > MAX_FINDINGS_PER_FILE:
            growing[facts] = _given_up(finding)
            break
    return sorted([*done, *growing.values()], key=lambda finding: finding.first_page)


def _given_up(finding: Finding) -> Finding:
    return replace(
        finding,
        kind="unjudged",
        expected="",
        found=f"more than {MAX_FINDINGS_PER_FILE} findings, the file from here on is not judged",
        sectors=0,
        reported=None,
    )

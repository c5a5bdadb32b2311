"""The verdict on a trial, from what it left: plan, record, ledger and observations. Pure but for reading these files.

`torture run` judges every trial with this when it ends, and `torture verify` judges a stored one again, offline; both
come to the same verdict because neither knows anything else. Of a disk image there is only a ledger and a cold read.
"""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from torture.crash import outcome as crash
from torture.crash.promised import promised
from torture.faults import fault_class
from torture.faults.canaries.planted import Planted, planted
from torture.faults.gates import readable_warm
from torture.filesystems import Filesystem, filesystem
from torture.filesystems.base import PROMISES
from torture.plan import Plan
from torture.rig.record import LEDGER, Record
from verify import checker, ledger, oracle
from verify.circumstances import described
from verify.completed import Completed, completed
from verify.finding import Finding, of_filesystem
from verify.intervals import merged, without
from verify.ledger_file import read_ledger
from verify.observation import Observation, read_observations
from verify.outcome import Outcome, outcome_of

_MOST_PLANTED = 1 << 16
"""Damaged pages that are compared with those that were planted: some of each file."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial came to."""

    outcome: Outcome
    reason: str
    """Why, in one sentence; "" for a pass."""
    findings: tuple[Finding, ...]
    missed_canary: bool = False
    """A planted loss was not found: the tool is blind."""


def judge(plan: Plan, directory: Path) -> Verdict:
    """Judge the trial in `directory`. What cannot be judged is `unknown`, a checker that crashes included."""
    return _judged(directory, partial(_judge_run, plan, directory))


def _judged(directory: Path, judge_run: Callable[[Record], Verdict]) -> Verdict:
    """The verdict of `judge_run` on what ran and came to its end."""
    record = Record.read(directory)
    if record.state != "ran":
        outcome = Outcome.notrun if record.state == "notrun" else Outcome.unknown
        return Verdict(outcome, record.reason, ())
    if record.hung:
        return _hung(record)
    try:
        verdict = judge_run(record)
    except Exception as error:  # any crash of the checker is unknown, never pass (design.md section 2)
        verdict = Verdict(Outcome.unknown, f"the checker crashed: {type(error).__name__}: {error}", ())
    return _with_broken(record, verdict) if record.broken else verdict


def _with_broken(record: Record, verdict: Verdict) -> Verdict:
    """What was seen to be broken before the files were read counts, whether or not the rest could be judged."""
    findings = (*record.broken, *(verdict.findings or _alarms(record)))
    return replace(verdict, outcome=outcome_of(findings), reason=_reason(findings), findings=findings)


def _judge_run(plan: Plan, directory: Path, record: Record) -> Verdict:
    records = list(read_ledger(directory / LEDGER))
    expected = oracle.expectations(records)
    stores = list(completed(records))
    if not stores:
        return Verdict(Outcome.unknown, "empty ledger: nothing was stored", ())
    if unpinned := _failed_pins(records, _refused_pins(plan)):
        return Verdict(Outcome.unknown, f"nothing was pinned where it should be: {', '.join(unpinned)}", ())
    unfired = [f"{name} ({evidence})" for name, fired, evidence in record.proofs if not fired]
    if unfired:
        return Verdict(Outcome.unknown, f"the fault never fired: {', '.join(unfired)}", ())
    row = found_filesystem(plan, record)
    if record.unmountable:
        findings = [*_unmountable(record)]
        return _judge_crashed(row, findings) if expected.crash else _verdict(row, findings)
    findings = [
        *described(of_files(plan, expected, directory), records),
        *crash.first_failure(directory, records, row),
        *_complaints(record),
        *_alarms(record),
    ]
    if any(fault_class(spec.name).canary for spec in plan.faults):
        return _judge_planted(directory, findings) or _judge_canary(stores, findings)
    return _judge_crashed(row, findings) if expected.crash else _verdict(row, findings)


def found_filesystem(plan: Plan, record: Record) -> Filesystem:
    """The filesystem of a trial, as it was found mounted."""
    return filesystem(plan.filesystem).as_found(record.found)


def _verdict(row: Filesystem, findings: Sequence[Finding], *, crashed: bool = False) -> Verdict:
    """Of what was promised. That the sync promise is taken away is told, whether or not it was asked for."""
    reason = "; ".join(filter(None, (_reason(findings), row.void(*PROMISES) if crashed else row.void("sync promise"))))
    return Verdict(outcome_of(findings), reason, tuple(findings))


def of_files(plan: Plan, expected: oracle.Expectations, directory: Path) -> Iterator[Finding]:
    """What the reads of the files found, warm where that says something, and cold."""
    if readable_warm(plan, [fault_class(spec.name) for spec in plan.faults]):
        yield from checker.check(expected, _observations(expected, directory, "warm"), "warm")
    yield from checker.check(expected, _observations(expected, directory, "cold"), "cold")


def _judge_crashed(row: Filesystem, findings: Sequence[Finding]) -> Verdict:
    """A trial after whose crash nothing was promised, or of which nothing is left to judge, is no pass."""
    own = tuple(promised(row, findings))
    if not own and row.void("sync promise"):
        return Verdict(Outcome.notrun, row.void("sync promise"), ())
    if not own and findings and not row.has("journal"):
        return Verdict(Outcome.notrun, f"{row.name} keeps no journal, and after a crash files share blocks", ())
    return _verdict(row, own, crashed=True)


def judge_image(expected: oracle.Expectations, directory: Path) -> Verdict:
    """Judge what an examination (torture.image) of a disk image left in `directory`; as for `judge`."""
    return _judged(directory, partial(_judge_examined, expected, directory))


def _judge_examined(expected: oracle.Expectations, directory: Path, record: Record) -> Verdict:
    if record.unmountable:
        return Verdict(Outcome.failed, "the filesystem would not mount", tuple(_unmountable(record)))
    observations = _observations(expected, directory, "cold")
    findings = [*checker.check(expected, observations, "cold"), *_complaints(record), *_alarms(record)]
    return Verdict(outcome_of(findings), _reason(findings), tuple(findings))


def _hung(record: Record) -> Verdict:
    hang = of_filesystem("hang", "liveness", expected="returns", found=record.hung)
    return Verdict(Outcome.failed, record.hung.splitlines()[0], (hang, *_alarms(record)))


def _observations(expected: oracle.Expectations, directory: Path, read: str) -> dict[int, Iterator[Observation]]:
    return {file: read_observations(directory / f"{read}-{file}.jsonl") for file in expected.files}


def _judge_planted(directory: Path, findings: Sequence[Finding]) -> Verdict | None:
    """A canary that damaged single pages passes when the cold read found exactly that; None if there is none."""
    wanted = set(planted(directory))
    if not wanted:
        return None
    cold = (finding for finding in findings if finding.read == "cold")
    shown = (
        Planted(finding.kind, finding.file, page, finding.sectors)
        for finding in cold
        for page in range(finding.first_page, finding.first_page + finding.pages)
    )
    found = set(islice(shown, _MOST_PLANTED))
    if wrong := sorted(f"{each}" for each in wanted ^ found):
        return _missed(f"canary missed, or taken for something else: {', '.join(wrong)}")
    return Verdict(Outcome.passed, f"canary found: {len(found)} planted pages", ())


def _judge_canary(stores: Iterable[Completed], findings: Sequence[Finding]) -> Verdict:
    """A canary passes when the cold read found every accepted store lost, and only then."""
    stored, found = defaultdict[int, list[range]](list), defaultdict[int, list[range]](list)
    for each in stores:
        stored[each.store.file] += each.accepted
    for finding in findings:
        if finding.kind == "lost" and finding.read == "cold":
            found[finding.file].append(range(finding.first_page, finding.first_page + finding.pages))
    missed = sum(len(pages) for file, ranges in stored.items() for pages in without(ranges, found[file]))
    if missed or not any(stored.values()):
        return _missed(f"canary missed: the planted loss of {missed} pages was not found")
    losses = sum(len(pages) for ranges in found.values() for pages in merged(ranges))
    return Verdict(Outcome.passed, f"canary found: {losses} planted losses", ())


def _missed(reason: str) -> Verdict:
    return Verdict(Outcome.unknown, reason, (), missed_canary=True)


def _refused_pins(plan: Plan) -> frozenset[int]:
    """What the faults, and a full filesystem of this kind, may make a pin fail with: legal and loud."""
    legal = filesystem(plan.filesystem).excused_pin_errnos | {errno.EFAULT}
    return legal.union(*(fault_class(spec.name).excused_pin_errnos for spec in plan.faults))


def _failed_pins(records: Iterable[ledger.Record], legal: frozenset[int]) -> list[str]:
    """Pins that failed for a reason of their own: such a worker is a control arm in disguise.

    EFAULT is a refused page of a populate that write-faults (MADV_POPULATE_WRITE on a full filesystem): legal and loud.
    ENOMEM is what a mapping that reaches past the end of its file gets, and it is locked all the same (mm/mlock.c,
    do_mlock).
    """
    page_bytes, sizes_bytes, ends = 0, dict[int, int](), dict[int, tuple[int, int]]()
    resizes: dict[int, ledger.Resize] = {}
    failed = []
    for record in records:
        match record:
            case ledger.Begin():
                page_bytes = record.page_bytes
            case ledger.File():
                sizes_bytes[record.file] = record.size_bytes
            case ledger.Resize():
                resizes[record.worker] = record
            case ledger.Altered(errno=0) if resize := resizes.pop(record.worker, None):
                sizes_bytes[resize.file] = resize.size_bytes
            case ledger.Worker():
                ends[record.worker] = record.file, (record.first_page + record.pages) * page_bytes
            case ledger.Pinned(errno=error) if error and error not in legal:
                file, end_byte = ends[record.worker]
                if error != errno.ENOMEM or end_byte <= -(-sizes_bytes[file] // page_bytes) * page_bytes:
                    failed.append(f"worker {record.worker} {errno.errorcode.get(error, str(error))}")
    return failed


def _complaints(record: Record) -> Iterator[Finding]:
    for command, clean, output in record.checked:
        if not clean:
            yield of_filesystem("fsck", "isolation", expected=f"{command} is clean", found=output[-2000:])


def _alarms(record: Record) -> Iterator[Finding]:
    for line in record.alarms:
        yield of_filesystem("kernel", "liveness", expected="no alarm in the kernel log", found=line)


def _unmountable(record: Record) -> Iterator[Finding]:
    yield of_filesystem("unreadable", "sync", expected="mounts after the fault", found=record.unmountable)
    yield from _alarms(record)


def _reason(findings: Sequence[Finding]) -> str:
    kinds = sorted({finding.kind for finding in findings})
    return f"found {', '.join(kinds)}" if kinds else ""

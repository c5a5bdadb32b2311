"""The trials of a filesystem: one for each stage, with a file and a worker for every experiment and arm. Pure but for
reading what a trial left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torture import judge
from torture.contract.clauses import EXPERIMENTS
from torture.contract.experiment import OVER_QUOTA, REOPEN, Experiment, Seen, Stage, unpinned
from torture.contract.verdict import ARMS, ClauseVerdict, Entry, Judgement
from torture.crash.promised import promised
from torture.filesystems import Filesystem
from torture.plan import FaultSpec, FilePlan, Plan
from torture.results.known import Known
from torture.rig.record import LEDGER, Record
from torture.trial.requirements import features_missing
from verify import ledger, oracle
from verify.circumstances import described
from verify.finding import Finding
from verify.ledger_file import read_ledger
from workloads.layouts import CLONE_ID_OFFSET, LAYOUTS
from workloads.plan import Op, WorkerPlan


@dataclass(frozen=True, slots=True)
class Case:
    """An experiment in one arm."""

    experiment: Experiment
    arm: str

    @property
    def key(self) -> tuple[int, str, str]:
        """What its entry in the table is known by."""
        return self.experiment.clause, self.experiment.name, self.arm

    def entry(self, judged: Judgement, known: tuple[str, ...] = (), **evidence: object) -> Entry:
        """Its entry in the table."""
        return Entry(*self.key, judged.verdict, judged.words, evidence, known)


CASES = tuple(Case(experiment, arm) for experiment in EXPERIMENTS for arm in ARMS)


def plan_of(cases: Iterable[Case], row: Filesystem) -> Plan:
    """The plan of experiments of one stage; file and worker number N are those of the Nth."""
    numbered = list(enumerate(cases, 1))
    stage = numbered[0][1].experiment.stage
    files, workers = zip(*(_part(number, case, row) for number, case in numbered), strict=True)
    faults = _faults(stage, row)
    return Plan(0, row.name, files, workers, faults, one_process=stage.in_turn)


def _part(number: int, case: Case, row: Filesystem) -> tuple[FilePlan, WorkerPlan]:
    experiment, (layout, opening) = case.experiment, _layout(case.experiment, row)
    name = f"c{experiment.clause:02}-{experiment.name}-{case.arm}"
    file = FilePlan(number, name, layout, experiment.pages)
    ops = (*opening, *experiment.ops)
    return file, WorkerPlan(number, number, name, 0, experiment.pages, case.arm, experiment.access, ops)


def _layout(experiment: Experiment, row: Filesystem) -> tuple[str, tuple[Op, ...]]:
    """The layout, and what comes before the first step. Where preallocated blocks are not unwritten extents, they are
    preallocated beyond the end of the file, which then grows, and is mapped and pinned anew."""
    if experiment.layout == "unwritten" and not row.has("unwritten"):
        return "keep-size", (*(Op(step) for step in LAYOUTS["keep-size"].opening), REOPEN)
    return experiment.layout, ()


def _faults(stage: Stage, row: Filesystem) -> tuple[FaultSpec, ...]:
    """Those of the stage; quotas are of a subvolume where users have none."""
    return (FaultSpec("edquot-qgroup", {}),) if stage is OVER_QUOTA and "subvolume" in row.quotas else stage.faults


def missing(case: Case, row: Filesystem) -> str:
    """Why a case cannot be tried on a filesystem, "" if it can, as far as that is known beforehand."""
    if row.volatile:
        return "nothing survives its unmount"
    return case.experiment.missing(row) or features_missing(plan_of([case], row), row)


def trials_of(row: Filesystem) -> Iterator[tuple[Case, ...]]:
    """The cases of each trial, those that can be tried."""
    possible = [case for case in CASES if not missing(case, row)]
    for stage in dict.fromkeys(case.experiment.stage for case in possible):
        mine = tuple(case for case in possible if case.experiment.stage is stage)
        yield from (mine,) if stage.shared else ((case,) for case in mine)


def entries(
    cases: tuple[Case, ...], plan: Plan, directory: Path, excuse: Callable[[Finding], Known | None] = lambda finding: None
) -> Iterator[Entry]:
    """What the trial in `directory` says of each of its cases; `excuse` gives what is known of a finding."""
    record = Record.read(directory)
    if judged := _of_all(record):
        yield from (case.entry(judged, trial=directory.name) for case in cases)
        return
    records = list(read_ledger(directory / LEDGER))
    findings = [*record.broken, *_findings(plan, records, directory)]
    for number, case in enumerate(cases, 1):
        seen = _seen(number, records, findings)
        yield case.entry(
            _judged(case.experiment, seen),
            _known(case.experiment, seen, excuse),
            trial=directory.name,
            ledger=[json.loads(each.encode()) for each in seen.records],
            findings=[asdict(finding) for finding in seen.findings],
        )


def _known(experiment: Experiment, seen: Seen, excuse: Callable[[Finding], Known | None]) -> tuple[str, ...]:
    """The entries that excuse what was found, if the clause would hold without it."""
    excuses = {finding: excuse(finding) for finding in seen.findings}
    left = replace(seen, findings=tuple(finding for finding, entry in excuses.items() if not entry))
    if not any(excuses.values()) or _judged(experiment, left).verdict not in (ClauseVerdict.holds, ClauseVerdict.differs):
        return ()
    return tuple(dict.fromkeys(f"{entry.name}: {entry.reason}" for entry in excuses.values() if entry))


def _findings(plan: Plan, records: list[ledger.Record], directory: Path) -> list[Finding]:
    expected = oracle.expectations(records)
    found = described(judge.of_files(plan, expected, directory), records)
    row = judge.found_filesystem(plan, Record.read(directory))
    return list(promised(row, found) if expected.crash else found)


def _seen(number: int, records: list[ledger.Record], findings: list[Finding]) -> Seen:
    """What the worker and the file of a number have of it all."""
    return Seen(
        tuple(each for each in records if isinstance(each, ledger.Thawed) or getattr(each, "worker", None) == number),
        tuple(finding for finding in findings if finding.file in (number, number + CLONE_ID_OFFSET)),
    )


def _judged(experiment: Experiment, seen: Seen) -> Judgement:
    """A judge that misses something because the worker did not come to the end of its steps has nothing to conclude."""
    try:
        return unpinned(experiment, seen) or experiment.judge(experiment, seen)
    except (IndexError, ValueError, StopIteration) as error:
        return Judgement(ClauseVerdict.unknown, f"the ledger lacks what the clause is judged by: {error!r}")


def _of_all(record: Record) -> Judgement | None:
    """What holds for all cases of a trial, None if each is to be judged by itself."""
    if record.state == "notrun":
        return Judgement(ClauseVerdict.notrun, record.reason)
    if record.broken and "judge" not in record.phases:
        return Judgement(ClauseVerdict.broken, f"before the files were read: {record.broken[0].found}")
    if record.state != "ran" or record.hung:
        return Judgement(ClauseVerdict.unknown, record.hung or record.reason)
    unfired = [f"{name} ({evidence})" for name, fired, evidence in record.proofs if not fired]
    if unfired:
        return Judgement(ClauseVerdict.unknown, f"the fault never fired: {', '.join(unfired)}")
    if record.unmountable:
        return Judgement(ClauseVerdict.broken, f"it cannot be mounted again: {record.unmountable}")
    return None

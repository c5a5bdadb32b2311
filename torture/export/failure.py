"""Finds what is to be exported: a plan, the finding that it showed, and where its evidence lies.

A trial of a run, the directory of a finding and a plan as JSON are read as `torture replay` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torture.campaign.artefacts import FINDINGS, tool_versions
from torture.campaign.recorded import stored
from torture.draw.arm import Arm
from torture.errors import BadRequest
from torture.plan import Plan
from torture.reproduce.subject import FINDING, Subject, find_subject, read_finding
from torture.results.groups import Key, deduplicated, gather, key_in
from torture.results.store import STORE, Trial
from torture.results.versions import Versions
from torture.rig.record import Record
from verify import codec
from verify.finding import Finding
from verify.ledger_file import LedgerError
from verify.observation import ObservationError

_AS_LEFT = "allowed are the files as a trial leaves them"


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often a finding was seen in its run."""

    seen: int
    """The trials that showed it."""
    tried: int
    """The trials that could have shown it."""
    control: str
    """What the control arm says of the pin, in a sentence."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A plan and what it showed."""

    plan: Plan
    finding: Finding | None = None
    """None if none is known."""
    directory: Path | None = None
    """Where ledger, observations and logs lie; None for a bare plan."""
    versions: Versions | None = None
    """What it was seen with; None for a bare plan."""
    frequency: Frequency | None = None
    """None if the run that it was seen in is not known."""

    @property
    def record(self) -> Record:
        """The trial's record; an empty one for a bare plan."""
        return Record.read(self.directory) if self.directory else Record()


@contextmanager
def evidence() -> Iterator[None]:
    """While the files of a trial or finding are read: BadRequest for what is not as a trial leaves it."""
    try:
        yield
    except OSError as error:
        raise BadRequest(f"cannot use {error.filename}: {error.strerror}", _AS_LEFT) from error
    except (LedgerError, ObservationError) as error:
        raise BadRequest(f"cannot use {error}", _AS_LEFT) from error


def find_failure(given: Path, results: Path, trial: int | None, kind: str) -> Failure:
    """The failure that `given` names; `trial` and `kind` (of the finding) choose where there are several.

    BadRequest says what there is to choose from.
    """
    if trial is not None:
        given = given / str(trial)
    subject = find_subject(given, results)
    origin = Path(subject.origin)
    if origin.is_file():
        if kind:
            raise BadRequest(f"{origin} is a plan without findings", "leave --finding-kind out")
        return Failure(subject.plan)
    if (origin / FINDING).is_file():
        return _of_finding(origin, subject, kind)
    return _of_trial(origin.parent, int(origin.name), subject, kind)


def _of_finding(directory: Path, subject: Subject, kind: str) -> Failure:
    plan, finding, versions = read_finding(directory)
    if kind not in ("", finding.kind):
        raise BadRequest(f"{directory} is a finding of kind {finding.kind}", "leave --finding-kind out")
    return Failure(plan, finding, directory, versions, _frequency_beside(directory, subject.expected))


def _frequency_beside(directory: Path, expected: Sequence[Key]) -> Frequency | None:
    """Of a finding that still lies in its run."""
    run = directory.absolute().parent.parent
    if directory.absolute().parent.name != FINDINGS or not (run / STORE).is_file():
        return None
    return _frequency(stored(run)[0], expected[0])


def _of_trial(run: Path, number: int, subject: Subject, kind: str) -> Failure:
    trials, _ = stored(run)
    trial = next(trial for trial in trials if trial.number == number)
    finding = _chosen(trial, kind)
    return Failure(
        plan=trial.plan,
        finding=finding,
        directory=subject.directory,
        versions=_versions({**subject.recorded, **tool_versions(trial)}),
        frequency=_frequency(trials, key_in(trial.plan, finding)) if finding else None,
    )


def _chosen(trial: Trial, kind: str) -> Finding | None:
    """The finding of a kind, or the first: those on pages before those about the whole filesystem."""
    findings = deduplicated(trial.verdict.findings)
    kinds = ", ".join(dict.fromkeys(finding.kind for finding in findings)) or "none"
    fitting = [finding for finding in findings if kind in ("", finding.kind)]
    if kind and not fitting:
        raise BadRequest(f"trial {trial.number} has no finding of kind {kind}", f"it has {kinds}")
    return min(fitting, key=lambda finding: not finding.pages, default=None)


def _frequency(trials: Sequence[Trial], key: Key) -> Frequency | None:
    for group in gather(trials):
        if group.key == key:
            arm = Arm.pinned if group.seen[Arm.pinned] else Arm.control
            return Frequency(group.seen[arm], group.tried[arm], group.control)
    return None


def _versions(recorded: dict[str, str]) -> Versions:
    """BadRequest if a store says what no run writes."""
    try:
        return codec.from_plain(Versions, recorded)
    except codec.Malformed as error:
        raise BadRequest(f"labs of the run, {error.wrong}", error.allowed) from error

"""What is to be reproduced: a trial of a run, the directory of a finding, or a plan, and what was recorded with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torture.campaign.recorded import fact, stored
from torture.campaign.run_config import RunConfig
from torture.errors import BadRequest
from torture.lab.choose import LOCAL, UML, KernelChoice, kernel_label
from torture.lab.uml import PACKAGED_KERNEL
from torture.plan import Plan
from torture.plan_check import read_plan
from torture.reproduce.shrink import Position
from torture.reproduce.signature import in_order, keys, signature
from torture.results.groups import Key
from torture.results.store import STORE, Trial, trial_directory
from torture.results.versions import VERSIONS, Versions
from verify import codec
from verify.descriptors import read_kept, read_text
from verify.finding import Finding
from verify.outcome import Outcome

PLAN, FINDING = "plan.json", "finding.json"
_PACKAGED = KernelChoice("", ())
_FORMS = "give RUN, RUN/TRIAL, the directory of a finding, or a plan as JSON"


@dataclass(frozen=True, slots=True)
class Subject:
    """A plan, and what is known of it."""

    plan: Plan
    origin: str
    """Where it was found, as a path."""
    expected: tuple[Key, ...] = ()
    """The signatures it showed; none when it is not known to fail."""
    lab: str = UML
    """The lab it failed in, as recorded: it decides nothing (torture.campaign.setting), and neither does the kernel."""
    kernel: KernelChoice = _PACKAGED
    recorded: dict[str, str] = field(default_factory=dict)
    """Lab, kernel and versions by name, as versions.json of a finding holds them; those that are known."""
    directory: Path | None = None
    """Where the trial left its ledger and the rest; None for a bare plan."""


def find_subject(given: Path, results: Path) -> Subject:
    """The subject called `given`: a path, or a name below `results`. BadRequest says what may be given."""
    for candidate in (given, results / given):
        if candidate.is_file():
            return Subject(read_plan(_text(candidate)), str(candidate))
        if (candidate / FINDING).is_file():
            return _of_finding(candidate)
        if (candidate / STORE).is_file():
            return _of_trial(candidate, None)
        if (found := _run_and_number(candidate)) is not None:
            return _of_trial(*found)
    raise BadRequest(f"there is no run, finding or plan {given}", _FORMS)


def _run_and_number(path: Path) -> tuple[Path, int] | None:
    """RUN/3, RUN/00003 and RUN/trials/00003 name the third trial."""
    if not path.name.isdecimal():
        return None
    run = path.parent.parent if path.parent.name == "trials" else path.parent
    return (run, int(path.name)) if (run / STORE).is_file() else None


def _of_trial(run: Path, number: int | None) -> Subject:
    trials, facts = stored(run)
    if number is None and facts.get("purpose") == "shrink":
        return _of_shrink(run, facts)
    trial = _first_failure(run, trials) if number is None else _numbered(run, trials, number)
    config = RunConfig.from_dict(facts["config"])
    kernel = next((each for each in config.kernels if each.label == trial.kernel), _PACKAGED)
    return Subject(
        plan=trial.plan,
        origin=f"{run}/{trial.number}",
        expected=tuple(in_order(keys(trial))),
        lab=config.lab,
        kernel=kernel,
        recorded={"kernel": trial.release, **_lab_facts(facts, trial.kernel)},
        directory=trial_directory(run, trial),
    )


def _of_shrink(run: Path, facts: dict[str, Any]) -> Subject:
    """The smallest plan that a shrink has found yet."""
    config = RunConfig.from_dict(facts["config"])
    kernel = config.kernels[0]
    return Subject(
        plan=read_plan(fact(facts, "position", Position).plan),
        origin=str(run),
        lab=config.lab,
        kernel=kernel,
        recorded=_lab_facts(facts, kernel_label(config.lab, kernel)),
    )


def _lab_facts(facts: dict[str, Any], kernel: str) -> dict[str, str]:
    try:
        labs: dict[str, dict[str, str]] = fact(facts, "labs")
        return labs[kernel]
    except KeyError:
        raise BadRequest(f"the store does not say what lab had the kernel {kernel!r}", _FORMS) from None


def _first_failure(run: Path, trials: Sequence[Trial]) -> Trial:
    bad = (Outcome.failed, Outcome.late)
    failed = [trial for trial in trials if not trial.is_canary and trial.verdict.outcome in bad]
    if not failed:
        raise BadRequest(f"no trial of {run} failed", "name one that is to be run again as RUN/TRIAL")
    return min(failed, key=lambda trial: trial.verdict.outcome != Outcome.failed)


def _numbered(run: Path, trials: Sequence[Trial], number: int) -> Trial:
    for trial in trials:
        if trial.number == number:
            return trial
    raise BadRequest(f"{run} has no trial {number}", f"it has {len(trials)} trials, numbered from 1")


def _of_finding(directory: Path) -> Subject:
    plan, finding, versions = read_finding(directory)
    path = "" if versions.lab == LOCAL else versions.kernel_path
    kernel = KernelChoice("" if path == PACKAGED_KERNEL else path, tuple((versions.arguments or "").split()))
    return Subject(
        plan=plan,
        origin=str(directory),
        expected=(signature(plan, finding),),
        lab=versions.lab,
        kernel=kernel,
        recorded=versions.known,
        directory=directory,
    )


def read_finding(directory: Path) -> tuple[Plan, Finding, Versions]:
    """What the directory of a finding holds as data; BadRequest names the file and what is wrong in it."""
    name = PLAN
    try:
        plan, name = read_plan(read_kept(directory / PLAN)), FINDING
        finding, name = codec.decode(Finding, read_kept(directory / FINDING)), VERSIONS
        return plan, finding, codec.decode(Versions, read_kept(directory / VERSIONS))
    except (codec.Malformed, BadRequest) as error:
        raise BadRequest(f"{directory} is no whole finding: {name}: {error.wrong}", error.allowed) from error
    except OSError as error:
        raise BadRequest(f"{directory} is no whole finding: {name}: {error.strerror}", _FORMS) from error


def differences(recorded: dict[str, str], now: dict[str, str]) -> list[str]:
    """What is not as it was recorded, one sentence each; what was not recorded cannot differ."""
    names = {"kernel": "kernel", "kernel_path": "kernel file", "arguments": "kernel arguments", "mkfs": "mkfs"}
    return [
        f"{names.get(name, name.replace('_', ' '))} was {value or 'none'!r} when it was recorded,"
        f" now it is {now[name] or 'none'!r}"
        for name, value in recorded.items()
        if name in now and now[name] != value
    ]


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"cannot read {path}: {error}", _FORMS) from error

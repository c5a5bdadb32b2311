"""Finds out what can run here, what cannot, and what brings it: each lab is booted once and asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from devicemapper import tools
from devicemapper.packages import PACKAGES
from torture.filesystems import FILESYSTEMS
from torture.lab import sandbox
from torture.lab.base import GuestLost, Lab

_KINDS = {"filesystems": "", "faults": "fault", "layouts": "layout", "disturbances": "disturbance"}
"""What the capabilities tell, and what one of it is called; filesystems have lines of another form."""

TOOLS = {
    **{program: PACKAGES[program] for program in ("dmsetup", "losetup", "modprobe", "fio")},
    **{program: row.package for row in FILESYSTEMS.values() for program in row.programs},
}


@dataclass(frozen=True, slots=True)
class LabReport:
    """What one lab can do."""

    lab: str
    unavailable: str
    """Why it cannot run; "" if it can."""
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    """Of its kernel (torture.trial.capabilities); empty if it cannot run."""


def missing_tools() -> dict[str, str]:
    """External programs that are not installed, and the Debian package of each."""
    return {program: package for program, package in TOOLS.items() if not tools.find(program)}


def examine(labs: Iterable[Lab]) -> list[LabReport]:
    """Boot a guest of every lab and probe it."""
    return [_examine(lab) for lab in labs]


def _examine(lab: Lab) -> LabReport:
    reason = lab.unavailable()
    if reason:
        return LabReport(lab.name, reason)
    try:
        with ExitStack() as undo:
            guest = lab.boot(0)
            undo.callback(guest.end)
            answer = guest.probe()
    except GuestLost as lost:
        return LabReport(lab.name, str(lost))
    return LabReport(lab.name, "", {name: answer[name] for name in ("kernel", *_KINDS)})


def render(reports: Iterable[LabReport], missing: dict[str, str]) -> str:
    """The report in plain text."""
    lines = [f"missing program {program}: apt-get install {package}" for program, package in missing.items()]
    lines = [*(lines or ["all external programs are installed"]), "", sandbox.what_holds()]
    for report in reports:
        lines += ["", *_lab(report)]
    return "\n".join(lines) + "\n"


def _lab(report: LabReport) -> Iterator[str]:
    if report.unavailable:
        yield f"lab {report.lab}: cannot run: {report.unavailable}"
        return
    yield f"lab {report.lab}: kernel {report.capabilities['kernel']}"
    for name, why in report.capabilities["filesystems"].items():
        yield f"  filesystem {name}: {'not here: ' + why if why else 'yes'}"
    for kind, heading in _KINDS.items():
        if heading:
            for name, reasons in report.capabilities[kind].items():
                yield f"  {heading} {name}: {_verdict(reasons)}"


def _verdict(reasons: Mapping[str, str]) -> str:
    """Yes; or why not; or why not on some filesystems."""
    grouped: dict[str, list[str]] = {}
    for name, why in reasons.items():
        if why:
            grouped.setdefault(why.removeprefix(f"{name} "), []).append(name)
    if not reasons:
        return "not here: there is no filesystem to try it on"
    if not grouped:
        return "yes"
    if len(grouped) == 1 and len(next(iter(grouped.values()))) == len(reasons):
        return f"not here: {next(iter(grouped))}"
    return "yes; not " + "; ".join(f"on {_names(names, reasons)}: {why}" for why, names in grouped.items())


def _names(names: list[str], all_names: Iterable[str]) -> str:
    """A filesystem stands for all of its configurations that are in the list, if all are."""
    families: dict[str, set[str]] = {}
    for name in all_names:
        families.setdefault(name.partition(":")[0], set()).add(name)
    whole = {family for family, members in families.items() if members <= set(names)}
    shown = (name.partition(":")[0] if name.partition(":")[0] in whole else name for name in names)
    return ", ".join(dict.fromkeys(shown))

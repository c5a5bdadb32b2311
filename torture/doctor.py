"""What can run here, what cannot, and what brings it: each lab is booted once and asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from devicemapper import tools
from torture.faults import FAULTS
from torture.filesystems import FILESYSTEMS
from torture.lab.base import GuestLost, Lab

TOOLS = {
    "dmsetup": "dmsetup",
    "losetup": "mount",
    "modprobe": "kmod",
    "fio": "fio",
    **{row.mkfs[0]: row.package for row in FILESYSTEMS.values()},
    **{row.check.argv[0]: row.package for row in FILESYSTEMS.values()},
}


@dataclass(frozen=True, slots=True)
class LabReport:
    """One lab: why it is unavailable ("" if it is not), its kernel, and why each filesystem and fault cannot be had."""

    lab: str
    unavailable: str
    kernel: str = ""
    filesystems: tuple[tuple[str, str], ...] = ()
    faults: tuple[tuple[str, str], ...] = ()


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
        guest = lab.boot(0)
    except GuestLost as lost:
        return LabReport(lab.name, str(lost))
    try:
        return _report(lab.name, guest.probe())
    finally:
        guest.end()


def _report(lab: str, capabilities: dict[str, Any]) -> LabReport:
    targets = capabilities["targets"]
    faults = tuple(
        (name, "; ".join(dict.fromkeys(filter(None, (targets[target] for target in sorted(fault.targets))))))
        for name, fault in FAULTS.items()
    )
    return LabReport(lab, "", capabilities["kernel"], tuple(capabilities["filesystems"].items()), faults)


def render(reports: Iterable[LabReport], missing: dict[str, str]) -> str:
    """The report in plain text."""
    lines = [f"missing program {program}: apt-get install {package}" for program, package in missing.items()]
    lines = lines or ["all external programs are installed"]
    for report in reports:
        lines.append("")
        if report.unavailable:
            lines.append(f"lab {report.lab}: cannot run: {report.unavailable}")
            continue
        lines.append(f"lab {report.lab}: kernel {report.kernel}")
        for heading, entries in (("filesystem", report.filesystems), ("fault", report.faults)):
            lines += [f"  {heading} {name}: {'not here: ' + why if why else 'yes'}" for name, why in entries]
    return "\n".join(lines) + "\n"

"""What one kernel can do: every filesystem, fault, layout and disturbance, with a reason for each that it cannot.

Asked of a lab's guest by `torture doctor`. The reasons are those that make a trial `notrun` (torture.trial.requirements).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from torture.faults import FAULTS
from torture.faults.base import Fault
from torture.filesystems import FILESYSTEMS, Filesystem
from torture.rig.machine import Machine, filesystem_missing, target_missing
from torture.trial.requirements import disk_missing
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS

Reasons = Mapping[str, str]
"""By filesystem: why not, "" if it can."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`filesystems`: why each row cannot be tested, "" if it can. The others: of those that can, why not each."""

    kernel: str
    filesystems: Reasons
    faults: Mapping[str, Reasons]
    layouts: Mapping[str, Reasons]
    disturbances: Mapping[str, Reasons]


def probe(machine: Machine) -> Capabilities:
    """Everything `doctor` asks of a kernel."""
    missing = {name: filesystem_missing(row, machine.modules) for name, row in FILESYSTEMS.items()}
    rows = [row for name, row in FILESYSTEMS.items() if not missing[name]]
    return Capabilities(
        kernel=platform.release(),
        filesystems=missing,
        faults={name: _fault(fault, rows, machine) for name, fault in FAULTS.items()},
        layouts={name: _needing(layout.needs, rows) for name, layout in LAYOUTS.items()},
        disturbances={name: _needing(each.needs, rows, each.missing()) for name, each in DISTURBANCES.items()},
    )


def _fault(fault: type[Fault], rows: list[Filesystem], machine: Machine) -> Reasons:
    lacking = dict.fromkeys(target_missing(target, machine) for target in sorted(fault.targets))
    reason = "; ".join(filter(None, lacking))
    return {row.name: reason or disk_missing(row, fault) or fault.missing(row, machine) for row in rows}


def _needing(feature: str, rows: list[Filesystem], kernel_lacks: str = "") -> Reasons:
    return {row.name: kernel_lacks or row.lacking(feature) for row in rows}

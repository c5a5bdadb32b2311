"""What a trial leaves: its record, next to the ledger and the observations it was judged by.

Written inside the lab as record.json, read on the host by `torture.judge`. Plain data, versioned.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torture.errors import BrokenTool

RECORD_VERSION = 1
RECORD = "record.json"
LEDGER = "ledger.jsonl"
KERNEL_LOG = "kernel.log"
COMMANDS = "commands.log"
EXTENTS = "extents.txt"
POWER_OFF = "power-off"
"""Announced as a phase by a trial that wants its guest to be killed, and another one to go on (torture.lab.connection)."""


@dataclass(slots=True)
class Record:
    """`state`: ran (judge it), notrun or unknown (`reason` says why). Times in seconds by phase.

    `proofs` are (fault, fired, evidence). `checked` is the fsck: (command line, clean, output). `hung` names what did
    not return, `unmountable` why the filesystem would not mount after the fault, each "" if all went well.
    `tainted`: the kernel warned or worse during the trial (/proc/sys/kernel/tainted changed), so its guest should not
    be used again.
    """

    state: str = "unknown"
    reason: str = "the trial did not end"
    kernel: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    proofs: list[tuple[str, bool, str]] = field(default_factory=list)
    checked: list[tuple[str, bool, str]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    hung: str = ""
    unmountable: str = ""
    tainted: bool = False
    version: int = RECORD_VERSION

    def write(self, directory: Path) -> None:
        """Write record.json under a temporary name and rename it."""
        temporary = directory / (RECORD + ".new")
        temporary.write_text(json.dumps(asdict(self), indent=1))
        temporary.rename(directory / RECORD)

    @staticmethod
    def read(directory: Path) -> Record:
        """The record in `directory`; a missing one is a trial that did not end."""
        path = directory / RECORD
        if not path.exists():
            return Record()
        raw: dict[str, Any] = json.loads(path.read_text())
        if raw.get("version") != RECORD_VERSION:
            raise BrokenTool(f"{path} has record version {raw.get('version')!r}", f"this tool reads {RECORD_VERSION}")
        raw["proofs"] = [tuple(proof) for proof in raw["proofs"]]
        raw["checked"] = [tuple(check) for check in raw["checked"]]
        return Record(**raw)

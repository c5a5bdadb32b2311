"""What a trial leaves: its record, next to the ledger and the observations it was judged by.

Written inside the lab as record.json, read on the host by `torture.judge`. Plain data, versioned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torture.errors import BrokenTool
from verify import codec
from verify.descriptors import read_kept
from verify.finding import Finding

RECORD = "record.json"
LEDGER = "ledger.jsonl"
KERNEL_LOG = "kernel.log"
COMMANDS = "commands.log"
EXTENTS = "extents.txt"
POWER_OFF = "power-off"
"""Announced as a phase by a trial that wants its guest to be killed, and another one to go on (torture.lab.connection)."""


@dataclass(slots=True)
class Record:
    """How far a trial came, and all that was seen besides the ledger and the observations."""

    state: Literal["ran", "notrun", "unknown"] = "unknown"
    """What ran is judged."""
    reason: str = "the trial did not end"
    """Why it did not run; "" if it did."""
    kernel: str = ""
    """The release of the kernel under test."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds by name."""
    proofs: list[tuple[str, bool, str]] = field(default_factory=list)
    """Fault, whether it fired, evidence."""
    checked: list[tuple[str, bool, str]] = field(default_factory=list)
    """Command line of a check or recovery, whether the filesystem was clean, output."""
    alarms: list[str] = field(default_factory=list)
    """Lines of the kernel log that no healthy kernel writes."""
    evidence: list[str] = field(default_factory=list)
    """Sentences for people."""
    hung: str = ""
    """What did not return; "" if all did."""
    broken: list[Finding] = field(default_factory=list, metadata=codec.OPTIONAL)
    """Promises that were broken before anybody read the files: what the set-up or a fault saw."""
    unmountable: str = ""
    """Why the filesystem would not mount after the fault; "" if it did."""
    tainted: bool = False
    """The kernel warned or worse (/proc/sys/kernel/tainted changed), so its guest should not be used again."""
    found: tuple[str, ...] = field(default=(), metadata=codec.OPTIONAL)
    """Features and options of the filesystem as it was really made and mounted (torture.filesystems.mounted)."""
    version: Literal[1] = 1

    def write(self, directory: Path) -> None:
        """Write record.json under a temporary name and rename it."""
        temporary = directory / (RECORD + ".new")
        temporary.write_text(codec.encode(self, indent=1))
        temporary.rename(directory / RECORD)

    @staticmethod
    def read(directory: Path) -> Record:
        """The record in `directory`; a missing one is a trial that did not end. BrokenTool if it is none of ours."""
        path = directory / RECORD
        if not path.exists():
            return Record()
        try:
            return codec.decode(Record, read_kept(path))
        except codec.Malformed as error:
            raise BrokenTool(f"{path}: {error.wrong}", error.allowed) from error
        except OSError as error:
            raise BrokenTool(f"cannot read {path}: {error.strerror}", "allowed is a file as a trial leaves it") from error

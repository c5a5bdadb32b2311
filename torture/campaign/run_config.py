"""What a run is to do: a request, and where, how and how long to carry it out. Stored with the run, to be resumed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torture.draw.request import Request
from torture.errors import BadRequest
from torture.lab.choose import LABS, UML, KernelChoice, make_labs
from torture.lab.device_identity import DeviceIdentity
from torture.lab.guest_lab import GuestLab
from torture.lab.local import LocalLab
from torture.results.known import Known
from verify import codec

MOST_JOBS = 64


@dataclass(frozen=True, slots=True)
class RunConfig:
    """The options of a run, whoever started it. A run that reproduces something has an empty request but for its seed."""

    request: Request
    results: Path
    """The run gets a directory of its own in there."""
    scratch: Path
    """The disks of guests go into a directory of the run in there."""
    lab: str = UML
    kernels: tuple[KernelChoice, ...] = (KernelChoice("", ()),)
    jobs: int | None = None
    """Guests at a time; None: as many as there are cores."""
    time_limit_s: float | None = None
    destroy: Path | None = None
    """A device that the user gave up, for the local lab."""
    device: DeviceIdentity | None = field(default=None, metadata=codec.OPTIONAL)
    """Which one that is, whatever its name is by now."""
    endless: bool = False
    """A campaign, which a time limit, `most_trials` or `most_findings` ends; otherwise the request is drawn once."""
    most_trials: int | None = None
    most_findings: int | None = None
    """Distinct ones that nobody knows."""
    artefact_bytes: int = 0
    """Room for disk images of findings; 0: no directories of findings are kept."""
    on_finding: str = ""
    """A program that is started with the directory of each new finding."""
    known: tuple[Known, ...] = ()

    @property
    def guests(self) -> int:
        """How many guests are to run at a time."""
        return 1 if self.destroy else self.jobs or cores()

    def labs(self, run_id: str, directory: Path) -> dict[str, GuestLab | LocalLab]:
        """The labs of a run, by the label of their kernel. BadRequest or MissingRequirement if it cannot have them."""
        return make_labs(self.lab, self.kernels, self.scratch, self.destroy, run_id=run_id, results=directory)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        plain: dict[str, Any] = codec.parse(codec.encode(self))
        return plain

    @staticmethod
    def from_dict(raw: object) -> RunConfig:
        """The inverse of `to_dict`. BadRequest names the field that is not of the form it should have."""
        try:
            config = codec.from_plain(RunConfig, raw)
        except codec.Malformed as error:
            raise BadRequest(error.wrong, error.allowed) from error
        if config.jobs is not None and not 1 <= config.jobs <= MOST_JOBS:
            raise BadRequest(f"jobs: {config.jobs}", f"allowed is 1 to {MOST_JOBS}")
        if config.lab not in LABS:
            raise BadRequest(f"lab: {config.lab!r}", f"allowed is {', '.join(LABS)}")
        if not config.kernels:
            raise BadRequest("kernels: there is none", "allowed is one or more")
        return config


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0))

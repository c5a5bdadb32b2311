"""An order: a request, and where, how and how long to carry it out. Stored with the run, so that it can be resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture.draw.request import Request
from torture.errors import BadRequest
from torture.lab.choose import UML, KernelChoice, make_labs
from torture.lab.guest_lab import GuestLab
from torture.lab.local import LocalLab
from torture.results.known import Known
from verify import codec


@dataclass(frozen=True, slots=True)
class Order:
    """`jobs` None: the cores. `destroy`: a device the user gave up (local lab).

    `endless`: a campaign, bounded by time, `most_trials` or `most_findings`; otherwise the request is drawn once.
    `artefact_bytes`: room for disk images of findings, 0 to keep no finding directories. `on_finding`: a program that
    is started with the directory of each new finding.
    """

    request: Request
    results: Path
    scratch: Path
    lab: str = UML
    kernels: tuple[KernelChoice, ...] = (KernelChoice("", ()),)
    jobs: int | None = None
    time_limit_s: float | None = None
    destroy: Path | None = None
    endless: bool = False
    most_trials: int | None = None
    most_findings: int | None = None
    artefact_bytes: int = 0
    on_finding: str = ""
    known: tuple[Known, ...] = ()

    def labs(self, run_id: str, results: Path) -> dict[str, GuestLab | LocalLab]:
        """The labs of a run, by the label of their kernel. BadRequest or MissingRequirement if it cannot have them."""
        return make_labs(self.lab, self.kernels, self.scratch, self.destroy, run_id=run_id, results=results)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        plain: dict[str, Any] = codec.parse(codec.encode(self))
        return plain

    @staticmethod
    def from_dict(raw: dict[str, Any]) -> Order:
        """The inverse of `to_dict`. BadRequest names the field that is not of the form it should have."""
        try:
            return codec.from_plain(Order, raw)
        except codec.Malformed as error:
            raise BadRequest(f"the run's configuration, {error.wrong}", error.allowed) from error

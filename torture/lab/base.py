"""Labs: where trials run. One interface: boot a guest, let it run plans, end it, or cut its power.

A guest may die, hang or never boot; every call here is bounded in time and says so in a `GuestLost`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torture.plan import Plan

BOOT_TIMEOUT_S = 90.0
PHASE_TIMEOUT_S = 180.0
PROBE_TIMEOUT_S = 120.0


@dataclass
class GuestLost(Exception):
    """The guest died, hangs or never came up."""

    what: str
    """What happened."""
    phase: str
    """Of the trial; "" if the guest never came up, or did nothing."""
    console: Path
    """The file that keeps what its kernel said."""
    hung: bool = False
    """Whether it is there but does not answer."""
    evidence: str = ""
    """The stuck tasks of a guest that hung and could still tell."""

    def __str__(self) -> str:
        return f"{self.what} in phase {self.phase or 'boot'} (console: {self.console})"


class Guest(Protocol):
    """One running kernel (or, in the local lab, one agent process on this kernel)."""

    kernel: str
    """Its release (uname(2))."""

    @property
    def disk(self) -> Path:
        """The scratch disk, as a file or device of the host."""

    def probe(self) -> dict[str, Any]:
        """What the kernel can do: see torture.trial.capabilities.Capabilities."""

    def run(self, plan: Plan, directory: Path, on_phase: Callable[[str], None]) -> None:
        """Run one trial; everything it leaves is in `directory`, below the run directory. Raises GuestLost."""

    def examine(self, directory: Path, on_phase: Callable[[str], None]) -> None:
        """Mount, read and check the image that is the guest's disk (torture.trial.examination). Raises GuestLost."""

    def end(self) -> None:
        """Shut down in order, or by force after a few seconds; nothing of the guest is left running."""

    def kill(self) -> None:
        """Cut the power: end every process of the guest at once."""


class Lab(Protocol):
    """A kind of guest, all of them with the same kernel."""

    @property
    def name(self) -> str:
        """What `--lab` calls it."""

    @property
    def facts(self) -> dict[str, str]:
        """What versions.json of a finding says of it: `lab`, `kernel_path`, and `arguments` if its kernel takes any."""

    def unavailable(self) -> str:
        """Why the lab cannot be used here, "" if it can."""

    def boot(self, index: int) -> Guest:
        """Start guest `index`. Raises GuestLost when it does not come up in time."""

"""Real runs of the command, as its users start it: a subprocess, a results directory, JSON out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TORTURE = Path(sys.executable).parent / "torture"
"""The command under test: the one that is installed next to this interpreter."""


@dataclass(frozen=True)
class Run:
    """A finished run: exit code, what it printed, and its results as data."""

    exit_code: int
    stderr: str
    document: dict[str, Any]

    @property
    def directory(self) -> Path:
        """Where the run left its results: the first line it says."""
        return Path(self.stderr.splitlines()[0].rpartition("results in ")[2])

    def outcomes(self, *, arm: str = "") -> dict[tuple[str, str], set[str]]:
        """Outcomes by filesystem and fault, of one arm or all."""
        found: dict[tuple[str, str], set[str]] = {}
        for trial in self.document["trials"]:
            if arm in ("", trial["arm"]):
                found.setdefault((trial["filesystem"], trial["fault"]), set()).add(trial["outcome"])
        return found

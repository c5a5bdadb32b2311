"""The three kinds of error the tool itself can have. What a filesystem does wrong is a finding in the end, never one of
them; `BrokenPromise` and `Hung` carry to the record what ends a trial.

Each carries fields and renders late; `torture.cli` alone turns them into a message and an exit code.
"""

from __future__ import annotations

from dataclasses import dataclass

from verify.finding import Finding


class TortureError(Exception):
    """Base of all errors that end in one clear message instead of a traceback: what they have to say."""

    def __str__(self) -> str:
        return "; ".join(filter(None, vars(self).values()))


@dataclass
class BadRequest(TortureError):
    """The user asked for something that is not offered: what was wrong, and what is allowed (exit 2)."""

    wrong: str
    allowed: str


@dataclass
class MissingRequirement(TortureError):
    """Something the request needs is not here: what, and what brings it (exit 4, or a `notrun` trial)."""

    missing: str
    remedy: str


@dataclass
class BrokenTool(TortureError):
    """The tool could not do its own work: what failed, and what to do next (exit 1)."""

    failed: str
    next_step: str


@dataclass
class NotRun(TortureError):
    """Raised inside a trial: a requirement of the plan is missing, found by probing before anything was judged."""

    reason: str


@dataclass
class StepFailed(TortureError):
    """Raised inside a trial: a set-up step failed, so that nothing may be concluded (`unknown`)."""

    step: str
    detail: str

    def __str__(self) -> str:
        return f"{self.step}: {self.detail}"


@dataclass
class BrokenPromise(TortureError):
    """Raised inside a trial: what the set-up itself wrote shows that the filesystem broke a promise. The trial ends."""

    finding: Finding

    def __str__(self) -> str:
        return f"{self.finding.kind}: {self.finding.found}"


@dataclass
class Hung(TortureError):
    """Raised inside a trial: a store, sync, mount or unmount did not return in time (the liveness promise)."""

    what: str
    seconds: float
    evidence: str

    def __str__(self) -> str:
        return f"{self.what} did not return within {self.seconds:g} s"

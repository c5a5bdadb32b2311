"""Progress on stderr: a tqdm bar on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TextIO

from tqdm import tqdm

from torture.draw.combination import Coverage, combinations_of
from torture.report.words import count
from torture.results.store import Trial
from verify.closing import Closing

_LINE_INTERVAL_S = 60.0


class Progress(Closing):
    """Counts trials, findings by kind, pairs of values met, and guests lost. `total` None: until somebody or a budget
    ends it; `time_limit_s` None: no time is left to tell. `lost_guests` grows while the campaign runs.
    """

    def __init__(
        self,
        total: int | None,
        before: Iterable[Trial],
        stream: TextIO,
        time_limit_s: float | None = None,
        lost_guests: Sequence[str] = (),
    ) -> None:
        self._stream, self._time_limit_s, self._lost_guests = stream, time_limit_s, lost_guests
        self._trials = 0
        self._coverage = Coverage()
        self._findings: Counter[str] = Counter()
        self._began_s = self._said_s = time.monotonic()
        self._bar = tqdm(
            total=total, unit="trial", file=stream, disable=None if stream.isatty() else True, dynamic_ncols=True
        )
        for trial in before:
            self._count(trial)
        self._bar.update(self._trials)

    def close(self) -> None:
        """It ended."""
        self._bar.close()

    def finished(self, trial: Trial) -> None:
        """A trial was judged and stored."""
        self._count(trial)
        self._bar.set_postfix_str(self._state(), refresh=False)
        self._bar.update()
        if not self._stream.isatty() and time.monotonic() - self._said_s >= _LINE_INTERVAL_S:
            self._said_s = time.monotonic()
            minutes = (self._said_s - self._began_s) / 60
            self._stream.write(f"{minutes:.0f} min: {self._trials} trials; {self._state()}\n")
            self._stream.flush()

    def _state(self) -> str:
        """Findings, coverage, guests lost, time left."""
        found = ", ".join(f"{number} {kind}" for kind, number in self._findings.items()) or "none"
        parts = [f"findings: {found}", f"{len(self._coverage.pairs)} pairs of values"]
        if self._lost_guests:
            parts.append(f"{count(len(self._lost_guests), 'guest')} lost")
        if self._time_limit_s is not None:
            left_s = max(0.0, self._time_limit_s - (time.monotonic() - self._began_s))
            parts.append(f"{left_s / 60:.0f} min left")
        return "; ".join(parts)

    def _count(self, trial: Trial) -> None:
        self._trials += 1
        if not trial.is_canary:
            self._findings.update({finding.kind for finding in trial.verdict.findings})
            if trial.verdict.outcome.is_judged:
                self._coverage.add(combinations_of(trial.plan))

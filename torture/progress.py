"""Progress on stderr: a tqdm bar on a terminal, one line a minute elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from torture.store import Trial

_LINE_INTERVAL_S = 60.0


class Progress:
    """Counts trials, findings by kind and trials per minute. `total` None: until somebody or a budget ends it."""

    def __init__(self, total: int | None, before: Iterable[Trial], stream: TextIO) -> None:
        self._stream = stream
        self._trials = 0
        self._findings: Counter[str] = Counter()
        self._began_s = self._said_s = time.monotonic()
        self._bar = tqdm(
            total=total, unit="trial", file=stream, disable=None if stream.isatty() else True, dynamic_ncols=True
        )
        for trial in before:
            self._count(trial)
        self._bar.update(self._trials)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def finished(self, trial: Trial) -> None:
        """A trial was judged and stored."""
        self._count(trial)
        self._bar.set_postfix(self._findings, refresh=False)
        self._bar.update()
        if not self._stream.isatty() and time.monotonic() - self._said_s >= _LINE_INTERVAL_S:
            self._said_s = time.monotonic()
            minutes = (self._said_s - self._began_s) / 60
            found = ", ".join(f"{count} {kind}" for kind, count in self._findings.items()) or "none"
            self._stream.write(f"{minutes:.0f} min: {self._trials} trials; findings: {found}\n")
            self._stream.flush()

    def _count(self, trial: Trial) -> None:
        self._trials += 1
        if trial.arm != "canary":
            self._findings.update({finding.kind for finding in trial.verdict.findings})

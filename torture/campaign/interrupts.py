"""What signals do to a campaign under way: the first finishes the trials in flight, the second ends them at once.

Between the command line, which only sees that somebody stopped it, and the campaign, which knows no signals.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from torture.report.words import count

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""From the keyboard, from whoever shuts the machine down, and from a terminal that is closed."""


_STDERR = 2


class Stoppable(Protocol):
    """A campaign, from the thread of the signals."""

    in_flight: int
    """Trials that were begun."""

    def stop(self) -> None:
        """Start no further trial."""

    def kill(self) -> None:
        """And end those in flight at once."""


@contextmanager
def interrupts(campaign: Stoppable) -> Iterator[threading.Event]:
    """An event that is set once a signal has come. A signal that was ignored when the program started still is, as
    nohup(1) wants it; those that come while the campaign is being killed change nothing."""
    interrupted, killing = threading.Event(), threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            campaign.stop()
            _say(f"finishing {count(campaign.in_flight, 'trial')} in flight; again ends them at once")
        elif not killing.is_set():
            killing.set()
            campaign.kill()

    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, on_signal) for number in heeded}
    try:
        yield interrupted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    """Without sys.stderr, which may be in the middle of a write; the terminal may be gone."""
    with suppress(OSError):
        os.write(_STDERR, f"\ntorture: {text}\n".encode())

"""What a campaign is told by signals."""

from __future__ import annotations

import os
import signal

import pytest

from torture.campaign.interrupts import SIGNALS, interrupts


class Told:
    """Notes what a campaign was told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.in_flight = 2

    def stop(self) -> None:
        self.calls.append("stop")

    def kill(self) -> None:
        self.calls.append("kill")
        os.kill(os.getpid(), signal.SIGTERM)  # somebody who is impatient


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_stops_the_second_kills_the_others_change_nothing(number: signal.Signals) -> None:
    """SIGHUP, from a terminal that is closed, ended a run without its report."""
    told, before = Told(), signal.getsignal(number)
    with interrupts(told) as interrupted:
        assert not interrupted.is_set()
        os.kill(os.getpid(), number)
        assert (interrupted.is_set(), told.calls) == (True, ["stop"])
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert told.calls == ["stop", "kill"]
    assert signal.getsignal(number) == before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        told = Told()
        with interrupts(told) as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not interrupted.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)

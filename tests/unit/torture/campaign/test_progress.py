"""Progress: what one line a minute says where there is no terminal."""

from __future__ import annotations

import io

import pytest

from tests.unit.torture.stories import finding, trial
from torture.campaign import progress
from verify.outcome import Outcome


def test_a_line_says_how_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_INTERVAL_S", 0.0)
    stream, lost = io.StringIO(), list[str]()
    with progress.Progress(None, [trial(1, Outcome.passed)], stream, 7200.0, lost) as shown:
        lost.append("the guest died")
        shown.finished(trial(2, Outcome.failed, finding()))
    line = stream.getvalue()
    assert line == "0 min: 2 trials; findings: 1 lost; 28 pairs of values; 1 guest lost; 120 min left\n"


def test_canaries_find_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_INTERVAL_S", 0.0)
    stream = io.StringIO()
    with progress.Progress(4, [], stream) as shown:
        shown.finished(trial(1, Outcome.passed, finding(), arm="canary"))
    assert stream.getvalue() == "0 min: 1 trials; findings: none; 0 pairs of values\n"

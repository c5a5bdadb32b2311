"""A guest that answers nonsense costs its trial, and never the run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from torture.lab.base import GuestLost
from torture.lab.connection import ConnectedGuest, Launch

UP = '{"event": "up", "kernel": "6.1"}'


def saying(script: str) -> Launch:
    """A guest that comes up, is asked something, and says what a shell script prints."""

    def launch(serial: int) -> subprocess.Popen[bytes]:
        whole = f"echo '{UP}'; read -r asked; {script}; exec sleep 600"
        return subprocess.Popen(["sh", "-c", whole], stdin=serial, stdout=serial, start_new_session=True)

    return launch


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo nonsense", "what is no answer: b'nonsense'"),
        ("echo '[1]'", "what is no answer"),
        ("echo '{}'", "what is no answer"),
        ("""echo '{"event": "phase"}'""", "what is no answer"),
        ("""echo '{"event": ["phase"]}'""", "what is no answer"),
        ("printf '\\377\\n'", "what is no answer"),
        ("yes '[' | head -c 100000 | tr -d '\\n'; echo", "what is no answer"),
        ("yes x | tr -d '\\n'", "more than any answer is long"),
        ("exit", "the guest died"),
    ],
)
def test_nonsense_is_a_lost_guest(script: str, why: str, tmp_path: Path) -> None:
    home, directory = tmp_path / "home", tmp_path / "trials"
    for place in (home, directory):
        place.mkdir()
    guest = ConnectedGuest(saying(script), tmp_path / "console", tmp_path, "TORTURE_GUEST=none/0", home)
    assert guest.kernel == "6.1"
    with pytest.raises(GuestLost) as caught:
        guest.examine(directory, lambda phase: None)
    assert why in str(caught.value)
    assert not home.exists()

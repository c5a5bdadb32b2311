"""The probe of a directory that others may write to as well."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from torture.campaign.run_directory import held
from torture.errors import BrokenTool
from torture.lab import room
from torture.lab.run_id import new_run_id


def test_a_link_under_the_name_of_a_probe_is_not_followed(tmp_path: Path) -> None:
    """Whoever knew the name, made of the process id, had any file of the user overwritten with zeros, then removed it."""
    precious = tmp_path / "precious"
    precious.write_text("needed")
    shared = tmp_path / "shared"
    shared.mkdir()
    for pid in range(os.getpid() - 5, os.getpid() + 5):
        (shared / f".torture-probe-{pid}").symlink_to(precious)
    before = sorted(shared.iterdir())
    run = new_run_id()
    with held(run, tmp_path / "results" / run, shared):
        pass
    assert precious.read_text() == "needed"
    assert sorted(shared.iterdir()) == before


def test_a_probe_leaves_no_name_not_even_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a filesystem with O_TMPFILE, as that of most machines and of /dev/shm."""
    seen: list[list[str]] = []
    real = tempfile.TemporaryFile

    def watched(**options: Any) -> object:
        probe = real(**options)
        seen.append([path.name for path in tmp_path.iterdir()])
        return probe

    monkeypatch.setattr(tempfile, "TemporaryFile", watched)
    room.probe_room(tmp_path)
    assert seen == [[]]


def test_a_directory_that_cannot_be_written_to_is_named() -> None:
    with pytest.raises(BrokenTool, match="cannot write to /proc/self"):
        room.probe_room(Path("/proc/self"))

"""The directory of a finding is there as a whole or not at all, whenever the run was killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.torture.stories import finding, leave, plan, ran, trial
from torture.campaign.artefacts import FINDINGS, IMAGE, Keeper
from verify.outcome import Outcome

SHOWN = replace(trial(1, Outcome.failed, finding()), kernel="packaged")
FACTS = {"packaged": {"lab": "uml", "kernel_path": "linux"}}


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is done."""


def test_a_finding_of_which_only_a_part_was_kept_is_kept_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its directory was there, so the run that was gone on with left it as it was, without an image."""

    def killed(*_: object) -> None:
        raise Killed

    directory, disk = tmp_path / "trial", tmp_path / "disk.img"
    directory.mkdir()
    leave(directory, plan(), record=ran())
    disk.write_bytes(bytes(1 << 20))
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Keeper, "_keep_image", killed)
        Keeper(tmp_path, FACTS, 1 << 30).keep(SHOWN, directory, disk)
    Keeper(tmp_path, FACTS, 1 << 30).keep(SHOWN, directory, disk)
    (kept,) = (tmp_path / FINDINGS).iterdir()
    assert (kept / IMAGE).exists()
    assert str(kept) in (kept / "README").read_text(), "it says where it lies"

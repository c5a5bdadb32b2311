"""What a campaign says when the host, and not a guest, refuses something."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.unit.torture.fake_lab import FakeGuest, FakeLab, follow
from tests.unit.torture.stories import plan
from torture.errors import BrokenTool
from torture.reproduce.replay import Again
from torture.results.store import STORE


class Refusing(FakeLab):
    """Has no memory for a guest."""

    def boot(self, index: int) -> FakeGuest:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")


def test_a_host_without_memory_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(BrokenTool, match=r"the host refused: .*Cannot allocate memory.*torture resume"):
        follow(Again(plan(), "fake", 1), {"fake": Refusing(lambda plan: 0)}, tmp_path / "run")


def test_a_store_that_is_gone_ends_the_campaign(tmp_path: Path) -> None:
    def delete(_: object) -> float:
        (tmp_path / "run" / STORE).unlink()
        return 0

    lab = FakeLab(delete)
    with pytest.raises(BrokenTool, match="run is gone"):
        follow(Again(plan(), "fake", 5), {"fake": lab}, tmp_path / "run")
    assert len(lab.ran) == 1, "nothing is run whose result would be lost"

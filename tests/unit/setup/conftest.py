"""Fixtures of the set-up tests."""

from pathlib import Path

import pytest

from tests.unit.setup.stand_in_machine import Machine, debian_machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A Debian machine with every tool there, an ordinary user without sudo, nothing set up yet."""
    return debian_machine(tmp_path)

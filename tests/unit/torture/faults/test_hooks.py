"""A hook of a fault is called by its name, so a name that no base has is never called."""

from __future__ import annotations

import pytest

from torture.faults import FAULTS, UNDRAWN
from torture.faults.base import Fault


@pytest.mark.parametrize("fault", [*FAULTS.values(), *UNDRAWN.values()], ids=lambda fault: fault.name)
def test_every_public_method_overrides_one_that_somebody_calls(fault: type[Fault]) -> None:
    own = {name for name, value in vars(fault).items() if not name.startswith("_") and callable(value)}
    inherited = {name for base in fault.__mro__[1:] for name in vars(base)}
    assert not own - inherited

"""What a run was told is stored with it, and read back as strictly as a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from torture.campaign.run_config import RunConfig
from torture.draw.request import Request
from torture.errors import BadRequest

ORDER = RunConfig(Request(pages=3), Path("/results"), Path("/scratch"), jobs=2, time_limit_s=60)


def test_it_survives_the_store_with_absolute_paths() -> None:
    assert RunConfig.from_dict(ORDER.to_dict()) == ORDER
    raw = RunConfig(Request(), Path("results"), Path("scratch"), destroy=Path("disk")).to_dict()
    assert (raw["results"], raw["destroy"]) == (str(Path.cwd() / "results"), str(Path.cwd() / "disk"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"jobs": "2"}, "jobs: found '2'; allowed is a whole number or null"),
        ({"endless": 1}, "endless: found 1; allowed is true or false"),
        ({"speed": 1}, "field 'speed' is unknown; the fields are request"),
        ({"kernels": [{"path": "k", "arguments": "quiet"}]}, "kernels[0].arguments: found 'quiet'; allowed is a list"),
        ({"request": {**ORDER.to_dict()["request"], "values": {"pin": "mlock"}}}, "found 'mlock'; allowed is a list"),
        (
            {"request": {**ORDER.to_dict()["request"], "values": {"mood": ["low"]}}},
            "dimension mood is unknown; known are filesystem",
        ),
        ({"request": {**ORDER.to_dict()["request"], "pages": 0}}, "--pages 0 is out of range"),
    ],
)
def test_what_was_changed_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        RunConfig.from_dict({**ORDER.to_dict(), **changed})
    assert said in str(caught.value)

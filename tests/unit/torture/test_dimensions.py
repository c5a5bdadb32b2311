"""A dimension is one row: one that is added is asked for, drawn, covered, excused, shrunk, named and printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.torture.fake_lab import FakeLab, follow_fast
from tests.unit.torture.stories import finding, trial
from torture.campaign.campaign_file import load
from torture.campaign.explore import Explore
from torture.campaign.run_config import RunConfig
from torture.cli import cli
from torture.dimensions import DIMENSIONS, Dimension, Scope, Values
from torture.draw.combination import combination_of, combinations_of
from torture.draw.matrix import draw
from torture.draw.request import Request, whole_space
from torture.errors import BadRequest
from torture.plan import Plan
from torture.report.campaign import render
from torture.report.coverage import covered, possible
from torture.reproduce.shrink import Shrink
from torture.reproduce.shrunk import factors
from torture.results.store import Trial
from verify.outcome import Outcome
from workloads.plan import WorkerPlan

TODAY = date(2026, 1, 1)


def get(plan: Plan, worker: WorkerPlan) -> tuple[str, ...]:
    """The colour of a file stands in its name."""
    return ("green",) if worker.path.endswith(".green") else ()


def put(plan: Plan, worker: WorkerPlan, old: str, new: str) -> Plan:
    def named(name: str) -> str:
        return name.removesuffix(".green") + ".green" * (new == "green")

    files = (replace(file, name=named(file.name)) if file.file == worker.file else file for file in plan.files)
    workers = (replace(one, path=named(one.path)) if one.file == worker.file else one for one in plan.workers)
    return replace(plan, files=tuple(files), workers=tuple(workers))


def offered(value: str, beside: Values) -> bool:
    return value != "green" or beside["filesystem"] != "ext2"


COLOUR = Dimension(
    "colour", ("red", "green"), ("red",), "red", get, put, Scope.file, absent="red", offered=offered, noun="shade"
)


@pytest.fixture(autouse=True)
def colour(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table with one more row."""
    monkeypatch.setitem(DIMENSIONS, "colour", COLOUR)
    yield


def colours(plan: Plan) -> set[str]:
    return {combination["colour"] for combination in combinations_of(plan)}


def campaign(path: Path, text: str) -> RunConfig:
    (path / "c.toml").write_text(f"[budget]\ntrials = 1\n{text}")
    return load(path / "c.toml", results=path, scratch=path, draw_seed=lambda: 7)


def green_trial(number: int) -> Trial:
    one = trial(number, Outcome.failed, finding())
    return replace(one, plan=put(one.plan, one.plan.workers[0], "red", "green"))


def test_it_is_an_option() -> None:
    for command in ("run", "compare", "plan"):
        assert "--colour TEXT" in CliRunner().invoke(cli, [command, "--help"]).output
    said = CliRunner().invoke(cli, ["run", "--colour", "blue"], standalone_mode=False).exception
    assert str(said) == "shade 'blue' is unknown; allowed are red, green and all"


def test_a_plan_from_words_has_it() -> None:
    words = ["plan", "--fs", "xfs", "--colour", "all", "--pin", "mlock", "--pin", "none"]
    plan = Plan.from_json(CliRunner().invoke(cli, words).output)
    assert [(worker.pin, COLOUR.value(plan, worker)) for worker in plan.workers] == [
        ("mlock", "red"),
        ("none", "red"),
        ("mlock", "green"),
        ("none", "green"),
    ]


def test_a_campaign_includes_and_excludes_it(tmp_path: Path) -> None:
    config = campaign(tmp_path, '[include]\ncolour = ["green"]\n')
    assert config.request["colour"] == ("green",)
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    explore = Explore(config.request, ["packaged"])
    assert all(colours(drawn.plan) == {"green"} for drawn, _ in (explore.next() for _ in range(200)))
    assert campaign(tmp_path, '[exclude]\ncolour = ["green"]\n').request["colour"] == ("red",)
    with pytest.raises(BadRequest, match="line 4, key 'colour': shade 'blue' is unknown; allowed are red, green"):
        campaign(tmp_path, '[include]\ncolour = ["blue"]\n')


def test_it_is_drawn_with_every_value_of_every_other_dimension_as_far_as_that_offers_it() -> None:
    request = replace(whole_space(), count=150, seed=1).having(filesystem=("xfs", "ext2"), fault=("none", "enospc"))
    plans = [item.plan for item in draw(request) if item.arm == "pinned"]
    met = {pair for plan in plans for one in combinations_of(plan) for pair in one.pairs() if pair[2] == "colour"}
    assert met == {pair for pair in possible(asdict(request)) if pair[2] == "colour"}
    assert ("filesystem", "xfs", "colour", "green") in met and ("filesystem", "ext2", "colour", "green") not in met


def test_the_matrix_has_it_as_plain_as_was_asked_for() -> None:
    assert {colour for item in draw(Request()) for colour in colours(item.plan)} == {"red"}
    green = Request({"colour": ("green",)}, canary=False)
    assert {colour for item in draw(green) for colour in colours(item.plan)} == {"green"}


def test_it_counts_for_coverage() -> None:
    pair = ("pin", "mlock", "colour", "green")
    assert pair in covered([green_trial(1)]).pairs and pair not in covered([trial(1, Outcome.passed)]).pairs
    assert pair in possible(asdict(whole_space())) and pair not in possible(asdict(Request()))


def test_a_known_finding_names_it_and_the_closing_page_prints_that(tmp_path: Path) -> None:
    entry = (
        '[[known]]\nname = "green"\nfilesystem = "ext4"\ncolour = "gr*"\nreason = "green fades"\nexpires = "2027-01-01"\n'
    )
    config = campaign(tmp_path, entry)
    trials = [green_trial(1), trial(2, Outcome.failed, finding())]
    assert [config.known[0].covers(finding(), one.plan, "6.1", TODAY) for one in trials] == [True, False]
    page = render(trials, {"config": config.to_dict(), "cores": 2, "wall_seconds": 1.0, "boots": 1}, config.known, TODAY)
    assert "green: 1 trial, first 1; until 2027-01-01: green fades" in page
    assert "10 values, 44 of" in page, "one of each of eight dimensions, and both colours with these"
    with pytest.raises(BadRequest, match="line 6, key 'colour': 'bl\\*' matches nothing there is; allowed are red, green"):
        campaign(tmp_path, entry.replace("gr*", "bl*"))


def shrunk(rule: object) -> Shrink:
    request = Request(
        {"filesystem": ("xfs",), "layout": ("written",), "fault": ("none",), "colour": ("green",)}, canary=False
    )
    search = Shrink(draw(request)[0].plan, "fake", None)
    follow_fast(search, {"fake": FakeLab(rule)})  # type: ignore[arg-type]
    return search


def test_what_it_does_not_matter_for_is_shrunk_to_the_plainest() -> None:
    search = shrunk(lambda plan: any(worker.pin != "none" for worker in plan.workers))
    assert colours(search.plan) == {"red"} and "colour red" in search.position.taken
    assert not [factor for factor in factors(search) if "green" in factor]


def test_the_factors_name_it_where_it_matters() -> None:
    search = shrunk(lambda plan: "green" in colours(plan))
    assert colours(search.plan) == {"green"}
    assert "needs shade green, not red" in factors(search)


@pytest.mark.parametrize("row", DIMENSIONS.values(), ids=DIMENSIONS)
def test_every_row_is_whole(row: Dimension) -> None:
    """What is put into a plan is what is read from it."""
    assert {*row.usual, row.plainest} <= set(row.values) and row.seldom <= set(row.values)
    plan = draw(Request(canary=False))[0].plan
    assert row.holders(plan) and all(row.value(plan, worker) in row.values for worker in plan.workers)
    for worker in row.holders(plan):
        before = combination_of(plan, worker)
        for value in row.values if row.put and row.get(plan, worker) else ():
            after = before.having(**{row.name: value}).put_into(plan, plan.workers.index(worker))
            assert combination_of(after, after.workers[plan.workers.index(worker)])[row.name] == value
            assert Plan.from_json(after.to_json()) == after

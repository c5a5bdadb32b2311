"""The known list of the package: each entry covers what it is about, on its kernels, and no near miss of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from torture.dimensions import DIMENSIONS
from torture.errors import BadRequest
from torture.plan import FaultSpec, Plan
from torture.results.known import OF_FINDING, OR, Known
from torture.results.known_file import gathered, named, packaged, plan_of, read_file
from verify.circumstances import CIRCUMSTANCES
from verify.finding import Finding

TODAY = date(2026, 12, 1)
ROOT = Path(__file__).parents[4]
NEWEST = "9.9.9"
TOLD = {"told", "told-elsewhere", "not-asked", "answered-success"}
"""One of these holds for each loss of a page."""
PROMISED_AND_LOST = {
    "ext2-past-the-end": "the bytes are zeros only where the file system zeroes them",
    "ext4-past-the-end": "the same",
    "f2fs-past-the-end": "the same",
    "jfs-past-the-end": "the same",
    "ext4-failed-zero-range": "the store was dropped before the sync",
    "ext4-inline-undone": "recovery undoes it",
    "btrfs-syncfs-read-only": "only syncfs returned 0",
    "xfs-whole-sync-lost": "only syncfs or sync(2) returned 0",
    "xfs-whole-sync-torn": "only syncfs or sync(2) returned 0",
    "f2fs-first-fsync": "only the first fsync returned 0",
}
"""Entries that excuse a loss although a call that covers it returned 0 and nothing was told."""


def release_of(entry: Known) -> str:
    """A kernel that it is about."""
    return "6.1.192"


def example(entry: Known) -> tuple[Finding, Plan]:
    """A finding that an entry is about, of a trial of its plan."""
    plan = plan_of(entry)
    worker = next(worker for worker in plan.workers if _suits(entry, plan, worker.file))
    layout = next(file.layout for file in plan.files if file.file == worker.file)
    of_pages = entry.kind not in (("kernel",), ("fsck",), ("hang",))
    return (
        Finding(
            kind=(entry.kind or ("lost",))[0],  # type: ignore[arg-type]
            promise=entry.promise or "store",  # type: ignore[arg-type]
            file=worker.file if of_pages else 0,
            name="",
            layout=layout if of_pages else "",
            pin=worker.pin if of_pages else "",
            access=worker.access if of_pages else "",
            writer=None,
            first_page=worker.first_page,
            pages=int(of_pages),
            sectors=255,
            expected=" ".join(entry.expected[:1]),
            found=f"so {' '.join(entry.found[:1])}",
            reported=None,
            read="cold",
            circumstances=tuple(each.split(OR)[0] for each in entry.circumstances),
        ),
        plan,
    )


def _suits(entry: Known, plan: Plan, file: int) -> bool:
    layout = next(each.layout for each in plan.files if each.file == file)
    return not entry.values.get("layout") or layout in entry.values["layout"]


def near_misses(entry: Known) -> Iterator[tuple[str, Finding, Plan]]:
    """What differs from the example in one thing that the entry names."""
    finding, plan = example(entry)
    for wanted in entry.circumstances:
        one = wanted.split(OR)[0]
        without = tuple(each for each in finding.circumstances if each != one)
        yield f"without {one}", replace(finding, circumstances=without), plan
        if one in TOLD:
            for other in TOLD - set(wanted.split(OR)):
                yield f"{other} instead of {one}", replace(finding, circumstances=(*without, other)), plan
    if "filesystem" in entry.values:
        yield "another filesystem", finding, replace(plan, filesystem="reiserfs")
    if "layout" in entry.values:
        yield "another layout", replace(finding, layout="reflinked"), plan
    if "fault" in entry.values:
        yield "another fault", finding, replace(plan, faults=(FaultSpec("delay", {}),))
    for changed in (
        replace(finding, kind="clone-changed") if entry.kind else None,
        replace(finding, promise="liveness") if entry.promise else None,
        replace(finding, expected="other") if entry.expected else None,
        replace(finding, found="other") if entry.found else None,
    ):
        if changed:
            yield "another kind, promise or text", changed, plan


@pytest.fixture(params=packaged(), ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> Known:
    found: Known = request.param
    return found


def test_it_covers_what_it_is_about(entry: Known) -> None:
    finding, plan = example(entry)
    assert entry.covers(finding, plan, release_of(entry), TODAY)
    assert entry.could_show(plan)


def test_it_covers_no_near_miss(entry: Known) -> None:
    misses = list(near_misses(entry))
    assert len(misses) > 1
    assert not [why for why, finding, plan in misses if entry.covers(finding, plan, release_of(entry), TODAY)]


def test_it_says_who_was_told(entry: Known) -> None:
    """An entry for losses of pages that says nothing of it would also excuse those of a kernel that tells nobody."""
    finding, plan = example(entry)
    without = tuple(each for each in finding.circumstances if each not in TOLD)
    promised = replace(finding, circumstances=(*without, "answered-success"))
    assert not finding.pages or entry.covers(promised, plan, release_of(entry), TODAY) == (entry.name in PROMISED_AND_LOST)


def test_what_was_fixed_is_not_excused_on_newer_kernels(entry: Known) -> None:
    finding, plan = example(entry)
    assert entry.covers(finding, plan, NEWEST, TODAY) == (not entry.kernel)
    assert bool(entry.fixed_by) <= bool(entry.kernel)
    assert not entry.kernel or not entry.covers(finding, plan, "unheard-of", TODAY)


def test_its_section_is_there_and_names_it(entry: Known) -> None:
    sections = re.split(r"^## ", (ROOT / "docs/kernel-behaviour.md").read_text(), flags=re.M)[1:]
    anchors = {re.sub(r"[^\w\- ]", "", each.split("\n")[0].lower()).replace(" ", "-"): each for each in sections}
    assert entry.section in anchors
    assert f"`{entry.name}`" in anchors[entry.section]


def test_nothing_it_names_is_unknown(entry: Known) -> None:
    assert set(entry.values) <= set(DIMENSIONS) and set(OF_FINDING) <= set(DIMENSIONS)
    assert {name for each in entry.circumstances for name in each.split(OR)} <= set(CIRCUMSTANCES)


def test_every_plan_belongs_to_an_entry() -> None:
    plans = {path.name for path in (ROOT / "torture/known/plans").iterdir()}
    assert plans == {entry.plan for entry in packaged()}


def test_names_are_unique_and_can_be_asked_for() -> None:
    first, *_ = packaged()
    assert named(packaged(), [first.name]) == (first,)
    with pytest.raises(BadRequest, match="2 entries called"):
        gathered(packaged(), [first])
    with pytest.raises(BadRequest, match="no known finding 'nobody'"):
        named(packaged(), ["nobody"])


@pytest.mark.parametrize("text", ["", "known = 1", "[[known]]\nname = 'x'", "[[known]]\n[[knwon]]", "\udcff", "[["])
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BadRequest):
        read_file(path)

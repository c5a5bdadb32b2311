"""A plan that was edited by hand is refused with the field, what it says and what is allowed; drawn ones never are."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from torture.cli import cli
from torture.draw.arm import Arm
from torture.draw.matrix import draw
from torture.draw.request import Request, whole_space
from torture.errors import BadRequest
from torture.faults import FAULTS
from torture.filesystems import FILESYSTEMS
from torture.plan import FaultSpec, FilePlan, Plan
from torture.plan_check import check, read_plan
from torture.reproduce.subject import find_subject
from torture.results.store import STORE as STORE_FILE
from torture.results.store import Store, Task
from workloads.plan import Op, WorkerPlan

STORE, SYNC, GATE, PUNCH = Op("store", 0, 8), Op("sync", name="msync"), Op("gate", name="strike"), Op("punch", 0, 8)
PLAN = Plan(
    seed=1,
    filesystem="ext4",
    files=(FilePlan(1, "1-hole", "hole", 16), FilePlan(2, "2-written", "written", 8)),
    workers=(
        WorkerPlan(1, 1, "1-hole", 0, 8, "mlock", "store", (STORE, SYNC, GATE, PUNCH)),
        WorkerPlan(2, 1, "1-hole", 8, 8, "none", "read", (Op("store", 8, 8), Op("background"))),
        WorkerPlan(3, 2, "2-written", 0, 8, "none", "store", (Op("grow"), STORE)),
    ),
    faults=(FaultSpec("enospc", {"free_blocks": 4}), FaultSpec("power-cut", {})),
)

EDITS: list[tuple[str, Any, str]] = [
    ("filesystem", "zfs", "filesystem: 'zfs' is unknown; allowed are ext4, ext3, ext2"),
    ("filesystem", 4, "filesystem: found 4; allowed is text"),
    ("seed", "1", "seed: found '1'; allowed is a whole number"),
    ("version", 2, "version: 2 is unknown; allowed are 1"),
    ("colour", "blue", "field 'colour' is unknown; the fields are seed, filesystem, files"),
    ("page_bytes", 12288, "page_bytes: 12288 is unknown; allowed are 4096, 8192, 16384, 32768, 65536"),
    ("page_bytes", 512, "page_bytes: 512 is unknown; allowed are 4096"),
    ("memlock_bytes", -2, "memlock_bytes: -2 is out of range; allowed is -1 to 1125899906842624"),
    ("memlock_bytes", None, "memlock_bytes: found null; allowed is a whole number"),
    ("mount_options", "discard", "mount_options: found 'discard'; allowed is a list"),
    ("files", [], "files: found []; a plan has at least one"),
    ("files", {}, "files: found {}; allowed is a list"),
    ("workers", [], "workers: found []; a plan has at least one"),
    ("files.0.layout", "flat", "files[0].layout: 'flat' is unknown; allowed are hole, unwritten, written, reflinked"),
    ("files.0.pages", "8", "files[0].pages: found '8'; allowed is a whole number"),
    ("files.0.pages", True, "files[0].pages: found true; allowed is a whole number"),
    ("files.0.pages", 8.0, "files[0].pages: found 8.0; allowed is a whole number"),
    ("files.0.pages", 0, "files[0].pages: 0 is out of range; allowed is 1 to 16777216"),
    ("files.0.pages", 1 << 30, "files[0].pages: 1073741824 is out of range; allowed is 1 to 16777216"),
    ("files.0.file", 0, "files[0].file: 0 is out of range; allowed is 1 to 999"),
    ("files.0.file", 1001, "files[0].file: 1001 is out of range; allowed is 1 to 999"),
    ("files.1.file", 1, "files[1].file: 1 is there twice; each may be there once"),
    ("files.1.name", "1-hole", "files[1].name: '1-hole' is there twice; each may be there once"),
    ("files.0.name", "../../etc/passwd", "files[0].name: '../../etc/passwd' is no name; allowed are 1 to 100 letters"),
    ("files.0.name", "..", "files[0].name: '..' is no name; allowed are 1 to 100 letters"),
    ("files.0.name", "", "files[0].name: '' is no name; allowed are 1 to 100 letters"),
    ("files.0.name", "a\n", "files[0].name: 'a\\n' is no name; allowed are 1 to 100 letters"),
    ("files.0.name", "a" * 101, "is no name; allowed are 1 to 100 letters"),
    ("workers.0.worker", 0, "workers[0].worker: 0 is out of range; allowed is 1 to 4294967295"),
    ("workers.1.worker", 1, "workers[1].worker: 1 is there twice; each may be there once"),
    ("workers.0.file", 7, "workers[0].file: 7 is unknown; allowed are 1, 2"),
    ("workers.0.path", "2-written", "workers[0].path: '2-written' is not file 1; allowed is its name, 1-hole"),
    ("workers.0.path", "/etc/passwd", "workers[0].path: '/etc/passwd' is not file 1; allowed is its name, 1-hole"),
    ("workers.0.first_page", -1, "workers[0].first_page: -1 is out of range; allowed is 0 to 15"),
    ("workers.1.first_page", 7, "workers[1].ops[0].first_page: 8 is out of range; allowed is 7 to 7"),
    ("workers.0.pages", 0, "workers[0].pages: 0 is out of range; allowed is 1 to 16"),
    ("workers.1.pages", 9, "workers[1].pages: 9 is out of range; allowed is 1 to 8"),
    ("workers.0.pages", 9, "workers[1].first_page: page 8 is worker 1's; allowed are pages from 9 on"),
    ("workers.0.pin", "glue", "workers[0].pin: 'glue' is unknown; allowed are none, mlock"),
    ("workers.0.access", "poke", "workers[0].access: 'poke' is unknown; allowed are store"),
    ("workers.0.ops", "store", "workers[0].ops: found 'store'; allowed is a list"),
    ("workers.0.ops.0.kind", "jump", "workers[0].ops[0].kind: 'jump' is unknown; allowed are store, sync, gate"),
    ("workers.0.ops.0.name", "msync", "workers[0].ops[0].name: 'msync' is unknown; allowed is none for store"),
    ("workers.0.ops.1.name", "prayer", "workers[0].ops[1].name: 'prayer' is unknown; allowed are msync"),
    ("workers.0.ops.2.name", "a gate", "workers[0].ops[2].name: 'a gate' is no name; allowed are 1 to 100 letters"),
    ("workers.0.ops.0.pages", 9, "workers[0].ops[0].pages: 9 is out of range; allowed is 0 to 8"),
    ("workers.0.ops.0.pages", -1, "workers[0].ops[0].pages: -1 is out of range; allowed is 0 to 8"),
    ("workers.0.ops.0.first_page", 1, "workers[0].ops[0].first_page: 1 is out of range; allowed is 0 to 0"),
    ("workers.1.ops.0.pages", 0, "workers[1].ops[0].first_page: 8 is out of range; allowed is 0 with no pages"),
    ("workers.0.ops.3.kind", "truncate", "workers[0].ops[3].kind: truncate changes the size of a file of several"),
    ("faults.0.name", "meteor", "faults[0]: unknown fault 'meteor'; known are none, enospc"),
    ("faults.0.parameters", [], "faults[0].parameters: found []; allowed is an object"),
    ("faults.0.parameters.free_blocks", -1, "faults[0]: enospc:free_blocks=-1 is out of range; allowed"),
    ("faults.0.parameters.free_blocks", "4", "faults[0]: enospc:free_blocks=4 is out of range; allowed"),
    ("faults.0.parameters.free_blocks", 0.5, "faults[0].parameters.free_blocks: found 0.5; allowed is a whole number or"),
    ("faults.0.parameters.size", 1, "faults[0]: fault enospc has no parameter size; it takes free_blocks"),
]


def edited(place: str, value: Any) -> str:
    """The plan's JSON with another value at a dotted place."""
    raw = json.loads(PLAN.to_json())
    *steps, last = (int(step) if step.isdigit() else step for step in place.split("."))
    holder = raw
    for step in steps:
        holder = holder[step]
    holder[last] = value
    return json.dumps(raw)


@pytest.mark.parametrize(("place", "value", "said"), EDITS)
def test_an_edited_plan_is_refused(place: str, value: Any, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_plan(edited(place, value))
    assert said in str(caught.value)


@pytest.mark.parametrize("place", ["pin", "ops", "worker"])
def test_a_field_that_was_taken_out_is_missed(place: str) -> None:
    raw = json.loads(PLAN.to_json())
    del raw["workers"][1][place]
    with pytest.raises(BadRequest, match=rf"workers\[1\]: field '{place}' is missing; the fields are worker, file, path"):
        read_plan(json.dumps(raw))


def test_every_drawn_plan_is_read_as_it_was_drawn() -> None:
    requests = [
        Request(seed=7, workers=3, count=2),
        Request({"sync": ("msync",)}, seed=7, representative=False),
        replace(whole_space(), count=150, seed=5),
        Request({"filesystem": tuple(FILESYSTEMS), "fault": tuple(FAULTS)}, workers=1),
    ]
    for request in requests:
        for drawn in draw(request):
            assert read_plan(drawn.plan.to_json()) == drawn.plan


def test_a_plan_of_the_repository_is_byte_for_byte_the_same_again() -> None:
    for path in (Path(__file__).parents[3] / "plans").glob("*.json"):
        assert read_plan(path.read_text()).to_json() == path.read_text().strip()
    assert PLAN.identity == "acb4792194497076"


def test_every_reader_of_plans_refuses_an_edited_one(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    flat = edited("files.0.layout", "flat")
    path.write_text(flat)
    store = Store(tmp_path, create=True)
    store.schedule(Task(1, Arm.pinned, PLAN, ""))
    with sqlite3.connect(tmp_path / STORE_FILE) as connection:
        connection.execute("UPDATE task SET plan = ?", [flat])
    for read in (lambda: find_subject(path, tmp_path), lambda: list(store.tasks())):
        with pytest.raises(BadRequest, match=r"files\[0\].layout: 'flat' is unknown"):
            read()
    for command in (["run", "--plan"], ["replay"], ["shrink"], ["compare", "--plan"], ["export", "--c", "c"]):
        done = CliRunner().invoke(cli, [*command, str(path)])
        assert "files[0].layout: 'flat' is unknown" in done.output + str(done.exception), command


def test_words_make_no_plan_that_cannot_be_carried_out() -> None:
    grown = ["plan", "--fs", "ext4", "--ops", "store,grow", "--pin", "mlock"]
    assert CliRunner().invoke(cli, grown).exit_code == 0
    both = CliRunner().invoke(cli, [*grown, "--pin", "none"])
    assert "workers[0].ops[1].kind: grow changes the size of a file of several workers" in both.output + str(both.exception)


def test_faults_together_in_words_are_the_faults_of_the_plan() -> None:
    done = CliRunner().invoke(cli, ["plan", "--fs", "ext4", "--fault", "enospc:free_blocks=2+power-cut"])
    assert read_plan(done.output).faults == (FaultSpec("enospc", {"free_blocks": 2}), FaultSpec("power-cut", {}))


def test_the_plan_of_this_file_is_fine() -> None:
    check(PLAN)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"\xff\0")
    done = CliRunner().invoke(cli, ["run", "--plan", str(path)])
    assert isinstance(done.exception, BadRequest) and "cannot read" in str(done.exception)

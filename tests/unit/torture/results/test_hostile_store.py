"""A store that somebody sent, or that lies where nobody may write: read without a trace, refused in a sentence, in time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.unit.fuzz.bounded import bounded
from tests.unit.torture.stories import finding, trial
from torture.campaign.recorded import stored
from torture.campaign.run_config import RunConfig
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.results.store import STORE, Store, Task
from verify.outcome import Outcome

NOBODY = 65534


def a_run(directory: Path, trials: int = 2) -> Path:
    """The directory of a run that ended."""
    directory.mkdir(parents=True)
    with Store(directory, create=True) as store:
        fill(store, directory, trials)
    return directory


def fill(store: Store, directory: Path, trials: int) -> None:
    config = RunConfig(Request(), directory.parent, directory.parent)
    store.describe(run=directory.name, purpose="run", seed=1, config=config.to_dict(), labs={"k": {"lab": "uml"}})
    for number in range(1, trials + 1):
        one = trial(number, Outcome.failed, finding())
        store.schedule(Task(one.number, one.arm, one.plan, one.kernel))
        store.add(one)


def a_killed_run(directory: Path) -> Path:
    """The directory of a run that was killed: its trials are in the log still."""
    directory.mkdir(parents=True)
    if (child := os.fork()) == 0:
        fill(Store(directory, create=True), directory, 2)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (directory / f"{STORE}-wal").stat().st_size and b"pinned" not in (directory / STORE).read_bytes()
    return directory


def a_run_that_lost_its_shared_memory(directory: Path) -> Path:
    (a_killed_run(directory) / f"{STORE}-shm").unlink()
    return directory


RUNS = (a_run, a_killed_run, a_run_that_lost_its_shared_memory)


def content(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def as_nobody(read: Callable[[], Any]) -> Any:
    """What a reader gets that has no right to write anything."""

    def dropped() -> Any:
        if os.geteuid() == 0:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        return read()

    return bounded(dropped)


@pytest.mark.parametrize("run", RUNS)
def test_who_reads_a_run_leaves_no_trace(tmp_path: Path, run: Callable[[Path], Path]) -> None:
    before = content(run(tmp_path / "run"))
    assert len(stored(tmp_path / "run")[0]) == 2
    assert content(tmp_path / "run") == before


@pytest.mark.parametrize("run", RUNS)
def test_a_run_where_nobody_may_write_is_shown(run: Callable[[Path], Path]) -> None:
    """`torture show` failed on a run on a medium that is read-only."""
    with TemporaryDirectory() as place:
        Path(place).chmod(0o711)
        directory = run(Path(place) / "run")
        for path in (*directory.iterdir(), directory):
            path.chmod(0o555 if path.is_dir() else 0o444)
        trials, _ = as_nobody(lambda: stored(directory))
    assert len(trials) == 2


def test_a_run_that_goes_on_is_read_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with Store(tmp_path / "run", create=True) as writer:
        fill(writer, tmp_path / "run", 2)
        assert len(bounded(lambda: stored(tmp_path / "run"))[0]) == 2
        assert len(stored(tmp_path / "run")[0]) == 2
        with Store(tmp_path / "run") as reader:
            assert list(reader.tasks(unfinished=True)) == []
        writer.describe(interrupted=True)
    assert stored(tmp_path / "run")[1]["interrupted"] is True


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("version", [0, 3])
def test_a_file_of_another_program_stays_as_it_is(tmp_path: Path, resume: bool, version: int) -> None:
    """`torture show` turned it into one with a write-ahead log."""
    with sqlite3.connect(tmp_path / STORE) as foreign:
        foreign.execute("CREATE TABLE run (key TEXT, value TEXT)")
        foreign.execute(f"PRAGMA user_version={version}")
    foreign.close()
    before = content(tmp_path)
    with pytest.raises(BadRequest):
        Store(tmp_path, resume=resume)
    assert content(tmp_path) == before


def changed(directory: Path, *statements: str) -> Path:
    """A run into which somebody wrote."""
    with sqlite3.connect(a_run(directory) / STORE) as hostile:
        for statement in statements:
            hostile.execute(statement)
    hostile.close()
    return directory


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT"


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TABLE run", f"CREATE VIEW run AS {ENDLESS} 'config' AS key, '1' AS value FROM n"),
        (f"CREATE VIEW more AS {ENDLESS} 1 FROM n",),
        ("CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM task; END",),
        ("DROP TABLE run", "CREATE TABLE run (key TEXT, value TEXT AS (hex(zeroblob(1000000000))))"),
        ("DROP TABLE result",),
        ("CREATE INDEX i ON task (plan)",),
    ],
)
def test_a_store_has_its_tables_and_nothing_else(tmp_path: Path, statements: tuple[str, ...]) -> None:
    """`torture show` of a view that never ends did not end."""
    run = changed(tmp_path / "run", *statements)
    said = bounded(lambda: stored(run), seconds=5)
    assert said.startswith("BadRequest: ") and "a store has the tables run, task and result" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE result SET seconds = 'long'", "row 1: seconds: found 'long'; allowed is a number"),
        ("UPDATE result SET seconds = 9e999", "row 1: seconds: found Infinity; allowed is a number"),
        ("UPDATE result SET outcome = 'good'", "row 1: outcome: 'good' is unknown; allowed are pass"),
        ("UPDATE result SET outcome = x'ff'", r"row 1: outcome: b'\xff' is unknown; allowed are pass"),
        ("UPDATE result SET missed_canary = 2", "row 1: missed_canary: 2 is out of range; allowed is 0 to 1"),
        ("UPDATE result SET phases = '[1]'", "trial 1, phases: found [1]; allowed is an object"),
        ("UPDATE result SET evidence = '{}'", "trial 1, evidence: found {}; allowed is a list"),
        ("UPDATE result SET release = CAST(x'ff' AS TEXT)", "Could not decode to UTF-8"),
        ("UPDATE task SET plan = '{}'", "trial 1, plan: field 'seed' is missing"),
        ("UPDATE task SET arm = 'leg'", "row 1: arm: 'leg' is unknown; allowed are canary"),
        ("UPDATE run SET key = x'00' WHERE key = 'seed'", r"a fact: key: found b'\x00'; allowed is text"),
        ("UPDATE run SET value = '[' WHERE key = 'seed'", "fact 'seed': '[' is not JSON"),
        ("UPDATE run SET value = '\"1\"' WHERE key = 'seed'", "fact 'seed': found '1'; allowed is a whole number"),
        ("UPDATE run SET value = 'null' WHERE key = 'config'", "fact 'config': found null; an object is needed"),
        ("DELETE FROM run WHERE key = 'config'", "fact 'config': found null; an object is needed"),
        ("INSERT INTO run VALUES ('more', '1')", "fact 'more': found 1; the facts of a run are config"),
        ("INSERT INTO run VALUES ('jobs', '-1')", "fact 'jobs': -1 is out of range"),
        ("INSERT INTO run VALUES ('wall_seconds', '1' || hex(zeroblob(500)))", "fact 'wall_seconds': found 1000000"),
        ("INSERT INTO run VALUES ('cores', replace(hex(zeroblob(99999)), '0', '['))", "is not JSON; maximum recursion"),
        ("INSERT INTO run VALUES ('comparison', '[[[[[[[[[]]]]]]]]]')", "fact 'comparison': found [[[[[[[[["),
    ],
)
def test_what_no_run_stores_is_refused_with_its_place(tmp_path: Path, change: str, said: str) -> None:
    run = changed(tmp_path / "run", "PRAGMA ignore_check_constraints=ON", change)
    with pytest.raises(BadRequest) as caught:
        stored(run)
    assert f"{run / STORE}" in str(caught.value) and said in str(caught.value), caught.value


def test_no_null_gets_past_the_tables(tmp_path: Path) -> None:
    """SQLite believes the schema in the file: another one, with NULL allowed, is another store."""
    run = changed(
        tmp_path / "run",
        "PRAGMA writable_schema=ON",
        "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'result'",
    )
    with pytest.raises(BadRequest, match="a store has the tables"):
        stored(run)


def test_a_file_that_goes_round_is_not_read_for_ever(tmp_path: Path) -> None:
    """A page of a table that has itself as its child."""
    run = a_run(tmp_path / "run", trials=40)
    whole = bytearray((run / STORE).read_bytes())
    inner = [at for at in range(4096, len(whole), 4096) if whole[at] == 5]
    assert inner
    for at in inner:
        cells = int.from_bytes(whole[at + 3 : at + 5], "big")
        for cell in range(cells):
            (place,) = [int.from_bytes(whole[at + 12 + 2 * cell :][:2], "big")]
            first = int.from_bytes(whole[at + 12 :][:2], "big")
            whole[at + place : at + place + 4] = whole[at + first : at + first + 4]
        whole[at + 8 : at + 12] = (at // 4096 + 1).to_bytes(4, "big")
    (run / STORE).write_bytes(whole)
    said = bounded(lambda: stored(run), seconds=10)
    assert said.startswith("BadRequest: "), said


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_nothing_waits_for_a_fifo_and_no_link_is_followed(tmp_path: Path, suffix: str) -> None:
    run, name = a_killed_run(tmp_path / "run"), f"{STORE}{suffix}"
    other = tmp_path / "other"
    shutil.copyfile(run / STORE, other)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(other)
    assert bounded(lambda: stored(run)).startswith("BadRequest: ")
    if suffix:
        (run / name).unlink()
        os.mkfifo(run / name)
        assert bounded(lambda: stored(run)).startswith("BadRequest: ")


def test_no_value_is_longer_than_any_that_is_written(tmp_path: Path) -> None:
    run = changed(tmp_path / "run", "UPDATE result SET reason = hex(zeroblob(17000000))")
    assert "too big" in bounded(lambda: stored(run))


def test_facts_of_a_run_pass(tmp_path: Path) -> None:
    _, facts = stored(a_run(tmp_path / "run"))
    assert json.dumps(facts)

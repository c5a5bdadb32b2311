"""Programs, scripts and tests that are exported: everything a plan can hold compiles and parses, or is refused."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.failures import BACKGROUND, PAGES, STORE, failure, sync
from torture.errors import BadRequest
from torture.export.c import write_c
from torture.export.c_snippets import ACCESSES, DISTURBANCES, PINS, SYNCS
from torture.export.exportable import FAULTS, REPLAY, Exportable
from torture.export.files import FILES
from torture.export.fstests import HELPER, NUMBER, write_fstests
from torture.export.program import write_program
from torture.export.script import write_script
from torture.faults import FAULTS as ALL_FAULTS
from torture.plan import FaultSpec, FilePlan, Plan
from workloads.access import ACCESSES as ALL_ACCESSES
from workloads.disturbances import DISTURBANCES as ALL_DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS as ALL_PINS
from workloads.plan import Op, WorkerPlan
from workloads.syncs import SYNCS as ALL_SYNCS

_CC = ["gcc", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-O1"]


def _everything() -> Plan:
    """One file for each layout, and a worker on it; between them every pin, access path, sync and disturbance."""
    plan, _ = failure("xfs", "hole", "enospc")
    faults = (*plan.faults, FaultSpec(REPLAY, {}))
    files = tuple(FilePlan(number, f"{number}-{name}", name, PAGES) for number, name in enumerate(FILES, 1))
    longest = max(len(PINS), len(ACCESSES), len(FILES))
    workers = []
    for number in range(longest):
        file = files[number % len(files)]
        pin, access = list(PINS)[number % len(PINS)], list(ACCESSES)[number % len(ACCESSES)]
        ops = (STORE, *(Op("sync", name=name) for name in SYNCS)) if number else _all_disturbances()
        workers.append(WorkerPlan(number + 1, file.file, file.name, 0, PAGES, pin, access, ops))
    return replace(plan, files=files, faults=faults, workers=tuple(workers))


def _all_disturbances() -> tuple[Op, ...]:
    others = (Op(name, name="strike" if name == "gate" else "") for name in DISTURBANCES if name != "grow")
    return (Op("grow"), STORE, *others, sync("fsync"))


def test_the_names_are_those_of_the_registries() -> None:
    for known, registry in ((PINS, ALL_PINS), (ACCESSES, ALL_ACCESSES), (SYNCS, ALL_SYNCS), (FILES, LAYOUTS)):
        assert set(known) <= set(registry)
    assert set(DISTURBANCES) <= {*ALL_DISTURBANCES, "gate"}
    assert set(FAULTS) <= set(ALL_FAULTS)


def test_every_piece_compiles_without_a_warning(tmp_path: Path) -> None:
    source = tmp_path / "all.c"
    source.write_text(write_program(Exportable.of(_everything(), None), "all", "all.sh"))
    subprocess.run([*_CC, source], check=True)


@pytest.mark.parametrize(
    ("access", "sync_name", "pin"), [("store", "nothing", "none"), ("readv", "sync", "mlock-elsewhere")]
)
def test_a_program_has_nothing_that_it_does_not_use(tmp_path: Path, access: str, sync_name: str, pin: str) -> None:
    """A function without a caller would be a warning."""
    case = failure("ext4", "hole", access=access, pin=pin, ops=(STORE, sync(sync_name)))
    source = tmp_path / "one.c"
    source.write_text(write_program(Exportable.of(*case), "one", "one.sh"))
    subprocess.run([*_CC, source], check=True)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("old", [False, True])
def test_scripts_parse_and_shellcheck_is_content(tmp_path: Path, fault: str, old: bool) -> None:
    case = failure("ext4", "unwritten", fault, ops=(STORE, BACKGROUND, Op("gate", name="strike"), sync("msync")))
    script = write_c(Exportable.of(*case), tmp_path)[-1]
    if fault == REPLAY:
        with pytest.raises(BadRequest, match="fault replay in fstests"):
            write_fstests(Exportable.of(*case), tmp_path, old=old)
        test = script
    else:
        test = next(path for path in write_fstests(Exportable.of(*case), tmp_path, old=old) if path.name == NUMBER)
    subprocess.run(["sh", "-n", script], check=True)
    subprocess.run(["bash", "-n", test], check=True)
    done = subprocess.run(["shellcheck", script, test], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_fault_with_a_time_of_its_own_is_not_exported_as_another() -> None:
    plan, finding = failure("ext4", "hole", "power-cut")
    timed = replace(plan, faults=(FaultSpec("power-cut", {"after_ms": 5}),))
    with pytest.raises(BadRequest, match="power-cut that strikes at a time of its own"):
        Exportable.of(timed, finding)
    Exportable.of(replace(plan, faults=(FaultSpec("power-cut", {"after_ms": 0}),)), finding)


def test_a_script_says_what_promise_is_broken_and_what_it_needs() -> None:
    case = failure("ext2", "hole", "enospc", kind="late", reported="msync ENOSPC")
    text = write_script(Exportable.of(*case))
    assert "# The promise: A store that page_mkwrite accepted has its space" in text
    assert "EVERYTHING THERE IS LOST" in text and "mkfs.ext2" in text
    assert all(len(line) <= 80 for line in text.splitlines() if line.startswith("#"))


def test_a_power_cut_drops_writes_before_the_workers_end() -> None:
    text = write_script(Exportable.of(*failure("xfs", "hole", "power-cut")))
    order = [text.index(step) for step in ("step work", "step cut", "drop_writes", "step end", '\nswap "$healthy"')]
    assert order == sorted(order)


def test_late_counts_only_for_who_looks_for_it() -> None:
    lost, late = failure("jfs", "hole", "enospc"), failure("jfs", "hole", "enospc", kind="late")
    assert "late_counts = false" in write_program(Exportable.of(*lost), "a", "b")
    assert "late_counts = true" in write_program(Exportable.of(*late), "a", "b")


def test_fstests_files_have_their_places_and_todays_names(tmp_path: Path) -> None:
    written = write_fstests(Exportable.of(*failure("xfs", "reflinked", "power-cut")), tmp_path, old=False)
    names = {str(path.relative_to(tmp_path)) for path in written}
    home = f"tests/generic/{NUMBER}"
    assert names == {home, f"{home}.out", f"src/{HELPER}.c", "src/Makefile.line"}
    text = (tmp_path / home).read_text()
    assert "\n. ./common/preamble\n_begin_fstest auto quick mmap log clone\n" in text
    assert "_require_scratch_reflink" in text and "_require_dm_target flakey" in text and "_init_flakey" in text
    assert "_supported_fs" not in text and text.endswith("_exit 0\n")
    assert (tmp_path / "src/Makefile.line").read_text() == f"LINUX_TARGETS += {HELPER}\n"


def test_fstests_of_older_trees_have_the_old_names(tmp_path: Path) -> None:
    case = failure("ext4:bigalloc", "hole", "power-cut")
    write_fstests(Exportable.of(*case), tmp_path, old=True)
    text = (tmp_path / "tests/ext4" / NUMBER).read_text()
    assert "_supported_fs ext4" in text and "_mount_flakey" in text and text.endswith("status=0\nexit\n")
    assert "preamble" not in text and "_begin_fstest" not in text
    assert 'MKFS_OPTIONS="$MKFS_OPTIONS -O bigalloc -C 16384"' in text
    assert (tmp_path / "tests/ext4/group.line").read_text() == f"{NUMBER} auto quick mmap log\n"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"faults": (FaultSpec("shutdown", {}),)}, "fault shutdown"),
        ({"files": (FilePlan(1, "1-hole", "snapshotted", PAGES),)}, "layout snapshotted"),
    ],
)
def test_what_no_program_is_written_for_is_named(changed: dict[str, object], named: str) -> None:
    plan, finding = failure("btrfs", "hole")
    with pytest.raises(BadRequest, match=named):
        Exportable.of(replace(plan, **changed), finding)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ops", "access", "named"),
    [
        ((STORE, Op("punch")), "store", "disturbance punch"),
        ((STORE,), "direct-read", "access path direct-read"),
        ((STORE, Op("grow")), "store", "extending a file after a store"),
    ],
)
def test_what_no_worker_is_written_for_is_named(ops: tuple[Op, ...], access: str, named: str) -> None:
    with pytest.raises(BadRequest, match=named):
        Exportable.of(*failure("xfs", "hole", ops=ops, access=access))


def test_what_only_the_warm_read_shows_has_no_program() -> None:
    plan, finding = failure("xfs", "hole")
    with pytest.raises(BadRequest, match="warm read"):
        Exportable.of(plan, replace(finding, read="warm"))


def test_a_finding_about_no_content_has_no_program() -> None:
    with pytest.raises(BadRequest, match="kind fsck"):
        Exportable.of(*failure("xfs", "hole", kind="fsck"))


def test_what_has_no_journal_is_recovered_by_the_script(tmp_path: Path) -> None:
    case = failure("ext4", "unwritten", "power-cut")
    for found, recovered in ((), False), (("running without a journal",), True):
        script = write_c(Exportable.of(*case, found), tmp_path)[-1].read_text()
        assert ("e2fsck -f -y" in script) is recovered

"""Every fault for real, in one User-mode Linux guest: it fires, is mended, and is judged right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from torture import faults
from torture.faults.gates import with_gates
from torture.filesystems import filesystem
from torture.judge import Verdict, judge
from torture.lab.base import Guest
from torture.lab.disk import default_scratch
from torture.lab.run_id import Hold, new_run_id
from torture.lab.uml import UmlLab
from torture.plan import FilePlan, Plan
from torture.rig.record import Record
from verify.finding import Finding
from verify.outcome import Outcome
from workloads.plan import Op, WorkerPlan

pytestmark = pytest.mark.guest
MUTANTS = Path(__file__).parents[3] / "shared/mutants/linux-6.1-mutants"
PAGES = 8


class Trial(Protocol):
    """Runs a plan in the guest and judges it."""

    def __call__(
        self, name: str, specs: str, pin: str = "mlock", moment: str = "", last: tuple[Op, ...] = ()
    ) -> tuple[Verdict, Record]: ...


def make_plan(name: str, specs: str, pin: str, moment: str, last: tuple[Op, ...]) -> Plan:
    """A file for each durable layout, a worker on each; background writeback meets an error before the sync does."""
    layouts = ["hole", "written", *(["unwritten"] if filesystem(name).has("unwritten") else [])]
    files = tuple(FilePlan(number, f"{number}-{layout}", layout, PAGES) for number, layout in enumerate(layouts, 1))
    store = Op("store", 0, PAGES)
    ops: tuple[Op, ...] = (store, Op("background"), Op("sync", name="msync"), store, Op("sync", name="fsync"), *last)
    for fault in (faults.fault_class(spec.partition(":")[0]) for spec in specs.split("+")):
        ops = with_gates(ops, fault, moment or fault.moments[0])
    workers = tuple(WorkerPlan(file.file, file.file, file.name, 0, PAGES, pin, "store", ops) for file in files)
    return Plan(1, name, files, workers, tuple(faults.parse(spec) for spec in specs.split("+")))


def is_known(name: str, finding: Finding) -> bool:
    """Stale blocks where the write of an unwritten extent failed: docs/kernel-behaviour.md."""
    return name == "ext4" and (finding.kind, finding.layout) == ("exposed", "unwritten") and bool(finding.reported)


def guest_runs(home: Path, kernel: str, *arguments: str) -> Iterator[Trial]:
    """Runs plans one after the other in one guest."""
    run_id = new_run_id()
    results = home / run_id
    results.mkdir()
    lab = UmlLab(run_id, results, default_scratch(), kernel, arguments)
    if reason := lab.unavailable():
        pytest.skip(reason)
    numbers = iter(range(1000))

    def run(
        name: str, specs: str, pin: str = "mlock", moment: str = "", last: tuple[Op, ...] = ()
    ) -> tuple[Verdict, Record]:
        directory = results / f"{next(numbers):05d}"
        directory.mkdir()
        plan = make_plan(name, specs, pin, moment, last)
        guest.run(plan, directory, lambda _: None)
        return judge(plan, directory), Record.read(directory)

    with Hold(run_id, default_scratch()):
        guest: Guest = lab.boot(0)
        try:
            yield run
        finally:
            guest.end()


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    yield from guest_runs(tmp_path_factory.mktemp("stock"), "")


def mutant(number: int) -> object:
    """A guest of the mutant kernel, one for all tests of the module."""

    @pytest.fixture(scope="module")
    def fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
        if not MUTANTS.exists():
            pytest.skip(f"the mutant kernel is not here: no {MUTANTS}")
        yield from guest_runs(tmp_path_factory.mktemp(f"mutant{number}"), str(MUTANTS), f"mutant={number}")

    return fixture


forgets_errors = mutant(18)
commits_without_flush = mutant(20)


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize(
    "fault", ["eio-writes", "shutdown", "shutdown:flags=1", "shutdown:flags=0", "kill-workers", "replay:states=20"]
)
def test_a_healthy_filesystem_survives(stock: Trial, name: str, fault: str) -> None:
    verdict, record = stock(name, fault)
    assert all(fired for _, fired, _ in record.proofs) and record.proofs, record
    assert (verdict.outcome, verdict.findings) == (Outcome.passed, ())


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize(
    ("fault", "moment"),
    [
        ("eio-once", "start"),
        ("eio-flapping", "middle"),
        ("delay:ms=5", ""),
        ("delay-cut", "middle"),
        ("shutdown", "late"),
        ("kill-workers", "middle"),
    ],
)
def test_a_healthy_filesystem_survives_while_the_workers_go_on(stock: Trial, name: str, fault: str, moment: str) -> None:
    verdict, record = stock(name, fault, moment=moment)
    assert record.proofs and all(fired for _, fired, _ in record.proofs), record
    assert [finding for finding in verdict.findings if not is_known(name, finding)] == [], verdict
    assert any(line.startswith("uevents: add dm-") for line in record.evidence), record.evidence
    assert any(line.startswith("dmsetup status: ") for line in record.evidence) == bool(
        faults.fault_class(fault.partition(":")[0]).targets
    )


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize("fault", ["eio-reads", "dust"])
def test_pages_that_cannot_be_read_refuse_stores_and_lose_nothing(stock: Trial, name: str, fault: str) -> None:
    verdict, record = stock(name, fault, pin="mlock2-onfault")
    assert "x store SIGBUS" in record.proofs[0][2] and verdict.outcome == Outcome.passed, (verdict, record)


@pytest.mark.parametrize("pin", ["mlock", "populate-read"])
@pytest.mark.parametrize("fault", ["eio-reads", "dust"])
def test_a_pin_that_tries_for_ever_to_read_is_a_hang_and_not_waited_for(stock: Trial, fault: str, pin: str) -> None:
    """docs/kernel-behaviour.md: mlock(2) tries again and again, instead of giving ENOMEM."""
    verdict, record = stock("xfs", fault, pin=pin)
    assert record.proofs[0][1] and verdict.outcome == Outcome.failed, (verdict, record)
    said = {(finding.kind, finding.promise, finding.found) for finding in verdict.findings}
    assert said == {("hang", "liveness", f"{pin} of a page that cannot be read did not return within 5 s")}


@pytest.mark.parametrize("name", ["ext4", "xfs"])
def test_bytes_that_the_disk_changes_are_found(stock: Trial, name: str) -> None:
    verdict, record = stock(name, "corrupt-bio")
    assert record.proofs[0][1] and verdict.reason.startswith("canary found"), (verdict, record)


def test_bytes_that_the_disk_changes_at_random_are_found_where_the_kernel_can(stock: Trial) -> None:
    verdict, _ = stock("ext4", "corrupt-random")
    assert verdict.reason.startswith("canary found") or "has no random_write_corrupt" in verdict.reason, verdict


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize("fault", ["torn-write", "misdirected-write", "old-region", "corrupt-byte", "exposed-block"])
def test_planted_damage_is_found_and_called_by_its_name(stock: Trial, name: str, fault: str) -> None:
    verdict, _ = stock(name, fault)
    assert verdict.outcome == Outcome.passed and verdict.reason.startswith("canary found"), verdict


def test_data_that_could_not_be_written_is_never_stale_blocks_on_xfs(stock: Trial) -> None:
    verdict, record = stock("xfs", "eio-data")
    assert record.proofs[0][1] and verdict.outcome == Outcome.passed, verdict


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize("fault", ["edquot-user", "edquot-project", "enospc-fragmented", "enospc-race", "enospc-metadata"])
def test_stores_without_space_are_refused_and_lose_nothing(stock: Trial, name: str, fault: str) -> None:
    verdict, record = stock(name, fault)
    assert record.proofs[0][1] and verdict.outcome == Outcome.passed, (verdict, record)
    assert not fault.startswith("edquot") or any("quota warning 4" in line for line in record.evidence), record.evidence


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize("fault", ["thin-full", "thin-queue", "thin-metadata", "snapshot-full"])
def test_space_that_runs_out_below_loses_nothing_that_was_synced(stock: Trial, name: str, fault: str) -> None:
    verdict, record = stock(name, fault)
    assert record.proofs[0][1] and verdict.outcome == Outcome.passed, (verdict, record)


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize("fault", ["fsize-limit", "memlock-limit", "oom-kill", "killed-guest"])
def test_limits_and_kills_lose_nothing(stock: Trial, name: str, fault: str) -> None:
    verdict, record = stock(name, fault)
    assert record.proofs[0][1] and verdict.outcome == Outcome.passed, (verdict, record)


@pytest.mark.parametrize("fault", ["oom-kill", "kill-workers"])
def test_what_a_worker_froze_is_thawed_whoever_is_killed(stock: Trial, fault: str) -> None:
    verdict, record = stock("ext4", fault, last=(Op("freeze", 0, PAGES),))
    assert record.proofs[0][1] and verdict.outcome == Outcome.passed, (verdict, record)


def test_a_full_tmpfs_refuses_pins_and_stores(stock: Trial) -> None:
    verdict, record = stock("tmpfs", "enospc")
    assert record.proofs[0][1] and verdict.outcome == Outcome.passed, (verdict, record)
    assert stock("tmpfs", "power-cut")[0].reason == "tmpfs has no disk, which fault power-cut needs"
    assert stock("tmpfs", "zeroed-file")[0].reason.startswith("canary found")


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize("fault", ["power-cut:after_writes=2", "shutdown:after_ms=5", "kill-workers:after_ms=5"])
def test_a_fault_may_strike_while_the_workers_are_at_it(stock: Trial, name: str, fault: str) -> None:
    verdict, record = stock(name, fault)
    assert record.proofs[0][1] and verdict.outcome == Outcome.passed, (verdict, record)
    assert any("after the first store" in line for line in record.evidence), record.evidence


@pytest.mark.parametrize(("name", "fault"), [("ext4", "enospc+replay:states=10"), ("xfs", "enospc+shutdown")])
def test_faults_compose(stock: Trial, name: str, fault: str) -> None:
    verdict, record = stock(name, fault)
    assert [fired for _, fired, _ in record.proofs] == [True, True] and verdict.outcome == Outcome.passed, verdict


def test_a_fault_that_a_filesystem_does_not_have_is_notrun(stock: Trial) -> None:
    assert stock("btrfs", "shutdown")[0].outcome == Outcome.notrun
    assert stock("ext2", "replay")[0].reason.startswith("ext2 does not recover by itself")


@pytest.mark.parametrize("name", ["ext4", "xfs"])
@pytest.mark.parametrize("fault", ["eio-data", "eio-once"])
def test_a_writeback_error_that_is_forgotten_is_found(forgets_errors: Trial, name: str, fault: str) -> None:
    verdict, _ = forgets_errors(name, fault)
    lost = [finding for finding in verdict.findings if finding.kind == "lost" and finding.promise == "sync"]
    assert verdict.outcome == Outcome.failed and lost, verdict


@pytest.mark.parametrize("name", ["ext4", "xfs"])
def test_a_commit_without_flush_is_found_by_replay_and_not_by_power_cut(commits_without_flush: Trial, name: str) -> None:
    assert commits_without_flush(name, "power-cut")[0].outcome == Outcome.passed
    verdict, record = commits_without_flush(name, "replay:states=40")
    assert verdict.outcome == Outcome.failed, verdict
    assert any("failing-state.img" in line for line in record.evidence)

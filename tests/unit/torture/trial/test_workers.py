"""Faults in combination: what comes before a crash proves itself before it, and what needs writes gets some."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from torture import faults
from torture.errors import StepFailed
from torture.faults.base import Fault, Proof
from torture.faults.io_errors.eio_once import EioOnce
from torture.faults.power.power_cut import PowerCut
from torture.faults.space.thin_full import ThinFull
from torture.filesystems import filesystem
from torture.plan import FaultSpec, FilePlan, Plan
from torture.rig.scene import Scene
from torture.trial import requirements, workers
from torture.trial.workers import Workers
from verify.ledger import Note, Pinned, Worker
from verify.ledger_file import LedgerWriter
from workloads import writeback
from workloads.plan import Op, WorkerPlan
from workloads.worker import WorkerReport


def a_scene(tmp_path: Path, **more: object) -> Scene:
    ledger_path = tmp_path / "ledger"
    with LedgerWriter(ledger_path) as writer:
        writer.append(Note("begun"))
    plan = SimpleNamespace(workers=(), page_bytes=4096, one_process=False)
    nothing: dict[str, Any] = {"plan": plan, "workers": [], "ledger_path": ledger_path, "block_device": ledger_path}
    return cast(Scene, SimpleNamespace(**{**nothing, **more}))


def recorder(name: str, told: list[str], *, crash: bool) -> Fault:
    def say(what: str, answer: object = None) -> Callable[[Fault, Scene], object]:
        def told_so(fault: Fault, scene: Scene) -> object:
            told.append(f"{what} {name}")
            return answer

        return told_so

    body = {
        "name": name,
        "meaning": "",
        "may_lose_unsynced": crash,
        "strike": say("strike"),
        "proof": say("proof", Proof(True, name)),
    }
    return cast(type[Fault], type(name, (Fault,), body))({})


def test_what_comes_before_a_crash_proves_itself_before_it(tmp_path: Path) -> None:
    told: list[str] = []
    both = [recorder("full", told, crash=False), recorder("cut", told, crash=True)]
    workers = Workers(a_scene(tmp_path), both, lambda _: nullcontext(), lambda: None)
    workers.carry_out(cast(Any, None))
    assert told == ["strike full", "proof full", "strike cut"]
    assert set(workers.proofs) == {"full"}, "the crash proves itself when it can"


def waited_for(report: WorkerReport, tmp_path: Path) -> list[str]:
    """The notes on a worker that ended so under a power cut."""
    notes: list[str] = []
    cut = recorder("cut", [], crash=True)
    type(cut).excused_errnos = PowerCut.excused_errnos
    workers = Workers(a_scene(tmp_path, note=notes.append), [cut], lambda _: nullcontext(), lambda: None)
    workers._wait(cast(Any, SimpleNamespace(wait_finished=lambda timeout_s: report)))
    return notes


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT, errno.EROFS, errno.ESHUTDOWN, errno.EUCLEAN, errno.EBADF])
def test_a_worker_may_be_turned_away_as_a_power_cut_does_it(tmp_path: Path, number: int) -> None:
    report = WorkerReport(1, "died", error="Traceback\nthe last line\n", errno=number)
    if number == errno.EBADF:
        with pytest.raises(StepFailed, match="worker 1 died"):
            waited_for(report, tmp_path)
    else:
        assert waited_for(report, tmp_path) == ["worker 1 was turned away: the last line"]


def test_an_error_that_only_reads_like_one_of_the_system_excuses_nobody(tmp_path: Path) -> None:
    said = f"Traceback\nValueError: [Errno {errno.EIO}] {os.strerror(errno.EIO)}: 'f'\n"
    with pytest.raises(StepFailed, match="worker 1 died"):
        waited_for(WorkerReport(1, "died", error=said), tmp_path)


@pytest.mark.parametrize(("refused", "begun"), [(0, 1), (8, 0)])
def test_a_disk_that_refused_nothing_yet_gets_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int, begun: int
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/f").touch()
    started: list[int] = []
    monkeypatch.setattr(writeback, "start", lambda descriptor, page_bytes: started.append(page_bytes))
    swaps: list[object] = []
    files = [SimpleNamespace(name="f")]
    scene = a_scene(
        tmp_path,
        mount_point=tmp_path,
        files_directory=tmp_path / "files",
        files=files,
        swap=swaps.append,
        disk="d",
        length_sectors=8,
    )
    fault = EioOnce({})
    fault._counting = cast(Any, SimpleNamespace(so_far=lambda: refused, stop=lambda: None))
    fault.heal(scene)
    assert len(started) == begun and len(swaps) == 1


@pytest.mark.parametrize(
    ("mode", "said", "fired"), [("rw", "", False), ("rw", "switching pool", True), ("out_of_data_space", "", True)]
)
def test_a_thin_pool_that_came_back_is_proven_by_the_kernel_log(tmp_path: Path, mode: str, said: str, fired: bool) -> None:
    fault = ThinFull({})
    fault._mode, fault._said = mode, said
    assert fault.proof(a_scene(tmp_path)).fired is fired


@pytest.mark.parametrize(
    ("name", "fault", "step", "stalls"),
    [
        ("xfs", "snapshot-full", "freeze", True),
        ("xfs:1k", "eio-writes", "freeze", True),
        ("xfs", "eio-data", "freeze", False),
        ("xfs", "eio-writes", "punch", False),
        ("ext4", "eio-writes", "freeze", False),
    ],
)
def test_only_a_freeze_of_xfs_without_metadata_is_kept_from_running(name: str, fault: str, step: str, stalls: bool) -> None:
    worker = WorkerPlan(1, 1, "f", 0, 8, "mlock", "store", (Op("store", 0, 8), Op(step, 0, 8)))
    plan = Plan(1, name, (FilePlan(1, "f", "hole", 8),), (worker,), (FaultSpec(fault, {}),))
    said = requirements.stalling(plan, filesystem(name), faults.make(plan.faults[0]))
    assert bool(said) is stalls


@pytest.mark.parametrize("trying", [True, False])
@pytest.mark.parametrize(("fault", "accused"), [("eio-reads", True), ("eio-writes", False)])
@pytest.mark.parametrize("pinned", [True, False])
def test_a_pin_that_tries_for_ever_to_read_is_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trying: bool, fault: str, accused: bool, pinned: bool
) -> None:
    """Only while reads fail, only in the pin, and only if it is at work: a slow machine is no hang."""
    spec = WorkerPlan(1, 1, "1-written", 0, 4, "mlock", "store", (Op("store"), Op("gate", name="heal")))
    plan = Plan(1, "ext4", (FilePlan(1, "1-written", "written", 4),), (spec,))
    process = SimpleNamespace(worker=1, pid=1, wait_gate=lambda *_: False, is_alive=lambda: True)
    scene = a_scene(tmp_path, plan=plan, workers=[process], late=set(), broken=[], note=lambda _: None)
    with LedgerWriter(scene.ledger_path) as writer:
        writer.append(Worker(1, 1, "mlock", "store", 0, 4))
        if pinned:
            writer.append(Pinned(1, 0))
    monkeypatch.setattr(workers, "is_trying", lambda _: trying)
    Workers(scene, [faults.make(FaultSpec(fault, {}))], lambda _: nullcontext(), lambda: None)._gather("heal", [process])  # type: ignore[list-item]
    told = [(finding.kind, finding.promise, finding.pin, finding.found) for finding in scene.broken]
    what = "mlock of a page that cannot be read did not return within 5 s"
    assert told == [("hang", "liveness", "mlock", what)] * (trying and accused and not pinned)

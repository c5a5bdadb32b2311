"""Disturbances do to the file what they are named for, record what they change, and a healthy kernel passes them."""

import errno
import mmap
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from verify import checker, ledger, oracle
from verify.ledger import Altered, Note, Record, Resize, Zeroed
from verify.ledger_file import LedgerWriter, read_ledger
from verify.reader import observe_file
from workloads import layouts, libc, memory_cgroup, worker
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.mapped_file import MappedFile
from workloads.pins import PINS
from workloads.plan import Op, WorkerPlan
from workloads.servant import SERVICES, Client, Servant, root_of_mount
from workloads.unsupported import Unsupported
from workloads.worker import Task, WorkerProcess

PAGE = mmap.PAGESIZE
PAGES = 8
RUN = 0xABCD
NOBODY = 65534
UID, GID = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.getuid(), os.getgid())
TIMEOUT_S = 20
WHOLE = Op("", 0, PAGES)


@dataclass
class FakeStage:
    """A worker's stage without a worker: writes letters, keeps records in memory."""

    mapped: MappedFile
    path: Path
    worker: int = 3
    pinned: int = 0
    written: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = LedgerWriter(self.path)

    @property
    def servant(self) -> Servant:
        raise AssertionError("this disturbance needs no servant")

    def pin(self) -> None:
        self.pinned += 1
        PINS["none"].pin(self.mapped)

    def write(self, page: int, write: Callable[[memoryview, int], int]) -> None:
        self.written.append(page)
        buffer = memoryview(mmap.mmap(-1, PAGE))
        buffer[:] = b"w" * PAGE
        assert write(buffer, page * PAGE) == PAGE

    @property
    def records(self) -> list[Record]:
        return list(read_ledger(self.path))


@pytest.fixture
def stage(new_file: Callable[[int], Path], directory: Path) -> Iterator[FakeStage]:
    """Eight pages of the letter x, mapped."""
    path = new_file(PAGES)
    path.write_bytes(b"x" * PAGES * PAGE)
    with MappedFile(path, file=5, first_page=0, pages=PAGES, page_bytes=PAGE) as mapped:
        mapped.map()
        yield FakeStage(mapped, directory / "ledger")


def act(name: str, stage: FakeStage) -> None:
    try:
        DISTURBANCES[name].act(stage, WHOLE)
    except Unsupported as refusal:
        pytest.skip(str(refusal))


def vm_flags(address: int) -> set[str]:
    text = Path("/proc/self/smaps").read_text()
    found = re.search(rf"^{address:x}-(?:.*\n)(?:\w+:.*\n)*?VmFlags: (.*)$", text, re.MULTILINE)
    assert found
    return set(found[1].split())


@pytest.mark.parametrize(
    ("name", "first", "length"),
    [
        ("punch", 2 * PAGE, 4 * PAGE),
        ("zero-range", 2 * PAGE, 4 * PAGE),
        ("punch-unaligned", 2 * PAGE + 333, 4 * PAGE - 2),
    ],
)
def test_zeroes_the_middle_and_records_it(name: str, first: int, length: int, stage: FakeStage) -> None:
    act(name, stage)
    rest = PAGES * PAGE - first - length
    assert stage.mapped.path.read_bytes() == b"x" * first + bytes(length) + b"x" * rest
    assert stage.records == [Zeroed(3, 5, first, length), Altered(3, 0)]


def test_truncates_down_and_up(stage: FakeStage) -> None:
    act("truncate", stage)
    kept = 2 * PAGE + 333
    assert stage.mapped.path.read_bytes() == b"x" * kept + bytes(PAGES * PAGE - kept)
    assert stage.records == [Resize(3, 5, kept), Altered(3, 0), Resize(3, 5, PAGES * PAGE), Altered(3, 0)]


def test_grows_to_the_end_of_the_mapping_and_never_shrinks(stage: FakeStage) -> None:
    act("grow", stage)
    assert stage.records == []
    os.truncate(stage.mapped.path, 100)
    act("grow", stage)
    assert stage.mapped.path.stat().st_size == PAGES * PAGE
    assert stage.records == [Resize(3, 5, PAGES * PAGE), Altered(3, 0)]


def test_collapse_leaves_zeros_from_the_middle_on(stage: FakeStage) -> None:
    act("collapse", stage)
    assert stage.mapped.path.read_bytes() == b"x" * 2 * PAGE + bytes(6 * PAGE)
    zeroed, _, shorter, _, longer, _ = stage.records
    assert zeroed == Zeroed(3, 5, 2 * PAGE, 6 * PAGE)
    assert (shorter, longer) == (Resize(3, 5, 4 * PAGE), Resize(3, 5, 8 * PAGE))


def test_a_refused_alteration_is_recorded_and_unsupported(stage: FakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(libc, "fallocate", refuse)
    with pytest.raises(Unsupported, match="punching a hole is not supported here"):
        DISTURBANCES["punch"].act(stage, WHOLE)
    assert stage.records[-1] == Altered(3, errno.EOPNOTSUPP)


def test_a_collapse_that_fails_is_not_followed_by_an_insertion(stage: FakeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    real = libc.fallocate

    def full(descriptor: int, mode: int, offset_bytes: int, length_bytes: int) -> None:
        if mode == libc.FALLOC_FL_COLLAPSE_RANGE:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor, mode, offset_bytes, length_bytes)

    monkeypatch.setattr(libc, "fallocate", full)
    act("collapse", stage)
    assert stage.records[2:] == [Resize(3, 5, 4 * PAGE), Altered(3, errno.ENOSPC)]
    assert stage.mapped.path.stat().st_size == PAGES * PAGE


def test_mremap_moves_the_mapping_and_keeps_it_usable(stage: FakeStage) -> None:
    before = stage.mapped.address
    act("mremap", stage)
    assert stage.mapped.address != before
    stage.mapped.view[:1] = b"y"
    assert stage.mapped.path.read_bytes()[:2] == b"yx"


def test_mprotect_leaves_the_mapping_writable(stage: FakeStage) -> None:
    act("mprotect", stage)
    assert "wr" in vm_flags(stage.mapped.address)
    stage.mapped.view[:1] = b"y"


def test_munlock_and_relock_do(stage: FakeStage) -> None:
    act("relock", stage)
    assert "lo" in vm_flags(stage.mapped.address)
    act("munlock", stage)
    assert "lo" not in vm_flags(stage.mapped.address)


@pytest.mark.parametrize("name", ["dontneed", "pageout"])
def test_what_the_kernel_refuses_for_a_locked_mapping_is_a_note(name: str, stage: FakeStage) -> None:
    act(name, stage)
    assert stage.records == []
    libc.mlock(stage.mapped.address, stage.mapped.length_bytes)
    act(name, stage)
    assert stage.records == [Note(f"MADV_{name.upper()}: EINVAL")]


def test_reopen_closes_maps_and_pins_anew(stage: FakeStage) -> None:
    stage.mapped.view[:1] = b"y"
    act("reopen", stage)
    assert stage.pinned == 1
    assert bytes(stage.mapped.view[:2]) == b"yx"


@pytest.mark.parametrize("name", ["buffered-writer", "direct-writer"])
def test_writers_write_every_second_page_of_those_that_are_whole(name: str, stage: FakeStage) -> None:
    os.truncate(stage.mapped.path, 7 * PAGE + 9)
    act(name, stage)
    assert stage.written == [1, 3, 5]
    assert stage.mapped.path.read_bytes() == (b"x" * PAGE + b"w" * PAGE) * 3 + b"x" * (PAGE + 9)


def run_worker(directory: Path, layout: str, *ops: Op, pin: str = "mlock") -> tuple[list[Record], list[object]]:
    """What a real worker recorded on a new file of a layout, and what the checker finds afterwards."""
    made = layouts.create(layout, directory, "f", file=5, pages=PAGES, page_bytes=PAGE, run=RUN)
    path = directory / "ledger"
    with LedgerWriter(path) as writer:
        writer.append(ledger.Begin(ledger.LEDGER_VERSION, RUN, PAGE, ""))
        for record in made:
            writer.append(record)
    plan = WorkerPlan(1, 5, str(directory / "f"), 0, PAGES, pin, "store", ops)
    task = Task((plan,), run=RUN, ledger_path=path, uid=UID, gid=GID, memlock_bytes=-1, page_bytes=PAGE)
    with worker.start(task) as process:
        report = process.wait_finished(TIMEOUT_S)
        if report.state == "unsupported":
            pytest.skip(report.error)
        assert report.state == "finished", report.error
        records = list(read_ledger(path))
        look = partial(observe_file, run=RUN, page_bytes=PAGE)
        looks = {record.file: look(directory / record.name, content_file=record.content_file) for record in made}
        return records, list(checker.check(oracle.expectations(records), looks, "warm"))


UNPRIVILEGED = sorted(name for name, row in DISTURBANCES.items() if not row.privileged)


@pytest.mark.parametrize("pin", ["none", "mlock", "mlock-elsewhere"])
@pytest.mark.parametrize("name", UNPRIVILEGED)
def test_a_healthy_kernel_passes(name: str, pin: str, directory: Path) -> None:
    ops = (Op("store"), Op(name, 0, PAGES), Op("store"), Op(name, 0, PAGES), Op("sync", name="msync"))
    _, found = run_worker(directory, "written", *ops, pin=pin)
    assert found == []


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"reflinked", "snapshotted"}))
def test_a_healthy_kernel_passes_on_every_layout(layout: str, directory: Path) -> None:
    opening = tuple(Op(name) for name in LAYOUTS[layout].opening)
    ops = (
        *opening,
        Op("store"),
        Op("truncate"),
        Op("store"),
        Op("punch"),
        Op("buffered-writer"),
        Op("sync", name="fsync"),
    )
    _, found = run_worker(directory, layout, *ops)
    assert found == []


@pytest.mark.root
@pytest.mark.parametrize("name", ["drop-caches", "compaction"])
def test_a_servant_does_what_the_worker_may_not(name: str, directory: Path) -> None:
    records, found = run_worker(directory, "hole", Op("store"), Op(name), Op("store"))
    assert found == []
    assert not any(isinstance(record, Note) for record in records)


def begun(plan: WorkerPlan, path: Path, mount_point: Path | None) -> WorkerProcess:
    """A worker on a filesystem that is mounted there."""
    return worker.start(
        Task((plan,), RUN, path, uid=UID, gid=GID, memlock_bytes=-1, page_bytes=PAGE, mount_point=mount_point)
    )


@pytest.mark.root
def test_a_store_waits_for_the_thaw(scratch: Callable[[list[str], int], Path]) -> None:
    mount_point = scratch(["mkfs.ext4", "-q", "-b", "4096"], 32)
    directory = mount_point / "d"
    directory.mkdir()
    made = layouts.create("hole", directory, "f", file=5, pages=PAGES, page_bytes=PAGE, run=RUN)
    path = mount_point.parent / "ledger"
    with LedgerWriter(path) as writer:
        writer.append(ledger.Begin(ledger.LEDGER_VERSION, RUN, PAGE, ""))
        writer.append(made[0])
    plan = WorkerPlan(1, 5, str(directory / "f"), 0, PAGES, "mlock", "store", (Op("freeze"), Op("store")))
    began = os.times().elapsed
    with begun(plan, path, mount_point) as process:
        assert process.wait_finished(TIMEOUT_S).state == "finished"
        process.end()  # and its servant, which holds the mount
    assert os.times().elapsed - began >= 0.1
    path.unlink()


@pytest.mark.root
def test_the_servant_of_a_killed_worker_thaws_what_it_froze(scratch: Callable[[list[str], int], Path]) -> None:
    """Or the superblock would stay for ever, and the device below it busy."""
    mount_point = scratch(["mkfs.ext4", "-q", "-b", "4096"], 32)

    def answer(failed: int, remark: str) -> None:
        assert not failed
        raise BrokenPipeError(errno.EPIPE, "the worker is gone")

    with root_of_mount(mount_point) as root:
        with pytest.raises(BrokenPipeError):
            SERVICES["freeze"](Client("0", root, mount_point, {}), answer)
        assert libc.errno_of(lambda: libc.thaw(root)) == errno.EINVAL, "it was still frozen"


@pytest.mark.root
@pytest.mark.parametrize("named", [True, False])
def test_nothing_but_the_mount_under_test_can_be_frozen(named: bool, directory: Path) -> None:
    """A worker once named the directory, and a plan the worker's file: for 0.1 s nobody could write to the machine's root.
    A directory in which nothing is mounted is on the same filesystem as the root of this machine, or as /tmp."""
    made = layouts.create("hole", directory, "f", file=5, pages=PAGES, page_bytes=PAGE, run=RUN)
    ledger_path = directory / "ledger"
    with LedgerWriter(ledger_path) as writer:
        writer.append(ledger.Begin(ledger.LEDGER_VERSION, RUN, PAGE, ""))
        writer.append(made[0])
    plan = WorkerPlan(1, 5, str(directory / "f"), 0, PAGES, "none", "store", (Op("freeze"),))
    with begun(plan, ledger_path, directory if named else None) as process:
        report = process.wait_finished(TIMEOUT_S)
    said = [record.text for record in read_ledger(ledger_path) if isinstance(record, Note)]
    assert (report.state, said) == ("unsupported", [])
    assert ("nothing is mounted on" if named else "without the mount point") in report.error


def test_the_lock_goes_with_the_process_that_held_it(new_file: Callable[[int], Path], directory: Path) -> None:
    children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    with MappedFile(new_file(PAGES), file=5, first_page=0, pages=PAGES, page_bytes=PAGE) as mapped:
        before = children.read_text().split()
        assert PINS["mlock-elsewhere"].pin(mapped) == 0
        (locker,) = set(children.read_text().split()) - set(before)
        act("kill-locker", FakeStage(mapped, directory / "ledger"))
        assert locker not in children.read_text().split()


@pytest.mark.root
def test_memory_pressure_reclaims_what_the_worker_uses(directory: Path) -> None:
    try:
        memory_cgroup.hierarchy()
    except Unsupported as missing:
        pytest.skip(str(missing))
    others = set(memory_cgroup.leftovers())
    records, found = run_worker(directory, "hole", Op("store"), Op("memory-pressure"), Op("store"), pin="none")
    assert found == []
    (said,) = [record.text for record in records if isinstance(record, Note)]
    before, after = (int(number) for number in re.findall(r"(\d+) KiB", said))
    assert before > after
    deadline = time.monotonic() + 10
    while set(memory_cgroup.leftovers()) - others and time.monotonic() < deadline:
        time.sleep(0.05)  # the servant of a worker that was killed
    assert set(memory_cgroup.leftovers()) <= others


@pytest.mark.root
def test_a_servant_refuses_what_the_kernel_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("1 0 0:1 / /proc rw - proc proc rw\n2 0 0:2 / /c rw - cgroup cgroup rw,cpu\n")
    monkeypatch.setattr("workloads.memory_cgroup._MOUNTS", mounts)
    with Servant(None, {}) as servant, pytest.raises(Unsupported, match="memory pressure is not supported here"):
        servant.ask("join-cgroup")


@pytest.mark.root
def test_a_group_whose_worker_was_killed_is_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        root = memory_cgroup.hierarchy().root
    except Unsupported as missing:
        pytest.skip(str(missing))
    run = "torture-20200101-000000-abcdef"
    nobody, somebody = root / f"{run}-{2**22 + os.getpid()}", root / f"{run}-{os.getpid()}"
    strangers = [root / "torture-my-own-service", root / f"torture-{2**22 + os.getpid()}", root / f"{run}-service"]
    for group in (nobody, somebody, *strangers):
        group.mkdir()
    try:
        left = list(memory_cgroup.leftovers())
        assert (nobody, run) in left
        assert not {somebody, *strangers} & {group for group, _ in left}
    finally:
        for group in (nobody, somebody, *strangers):
            group.rmdir()


@pytest.mark.root
def test_a_group_carries_the_id_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        root = memory_cgroup.hierarchy().root
    except Unsupported as missing:
        pytest.skip(str(missing))
    monkeypatch.setenv(memory_cgroup.OWNER, "torture-20200101-000000-abcdef")
    group = memory_cgroup.MemoryCgroup(str(os.getpid()))
    group.join()
    try:
        assert (root / f"torture-20200101-000000-abcdef-{os.getpid()}").is_dir()
    finally:
        group.leave()

"""Workers carry out their plan as somebody unprivileged, tell how it went, and never outlive who started them."""

import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from verify import stamp
from verify.ledger import Pinned, Record, Store, Stored, Sync, Synced, Worker
from verify.ledger_file import read_ledger
from workloads import libc, worker
from workloads.access import ACCESSES, SecondProcess
from workloads.children import in_child
from workloads.plan import Op, WorkerPlan
from workloads.worker import Task, WorkerProcess

PAGE = mmap.PAGESIZE
RUN = 0xFEDC_BA98_7654_3210
NOBODY = 65534
UID, GID = (NOBODY, NOBODY) if os.geteuid() == 0 else (os.getuid(), os.getgid())
TIMEOUT_S = 20
NewFile = Callable[[int], Path]
Start = Callable[..., WorkerProcess]


@pytest.fixture
def ledger_path(directory: Path) -> Path:
    return directory / "ledger"


@pytest.fixture
def start(ledger_path: Path) -> Iterator[Start]:
    """Starts workers on a path; kills what is left of them."""
    started: list[WorkerProcess] = []

    def begin(
        path: Path, *ops: Op, pages: int, first_page: int = 0, memlock_bytes: int = -1, **fields: Any
    ) -> WorkerProcess:
        given = {"worker": 1, "file": 5, "pin": "mlock", "access": "store", **fields}
        plan = WorkerPlan(path=str(path), first_page=first_page, pages=pages, ops=ops, **given)
        process = worker.start(
            Task((plan,), RUN, ledger_path, uid=UID, gid=GID, memlock_bytes=memlock_bytes, page_bytes=PAGE)
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with process:
            pass


def finish(process: WorkerProcess) -> None:
    report = process.wait_finished(TIMEOUT_S)
    assert report.state == "finished", report.error


def look(path: Path) -> list[tuple[int, int, int, int]]:
    """First page, pages, generation and writer of what is in a file; fails if it is not the worker's stamps."""
    spans = stamp.scan(path.read_bytes(), run=RUN, file=5, first_page=0, page_bytes=PAGE)
    assert all(span.look is not stamp.Look.IRREGULAR for span in spans)
    return [(span.first_page, span.pages, span.generation, span.writer) for span in spans]


def test_records_each_step_and_stores_what_it_records(start: Start, new_file: NewFile, ledger_path: Path) -> None:
    path = new_file(600)
    steps = (Op("store"), Op("store", 100, 10), Op("background"), Op("sync", name="msync"), Op("store", 90, 20))
    finish(start(path, *steps, Op("sync", name="nothing"), Op("sync", name="fsync"), pages=600))
    stored = Stored(1, ())
    expected: list[Record] = [
        Worker(1, 5, "mlock", "store", 0, 600),
        Pinned(1, 0),
        Store(1, 5, 0, 600, 1, 0, PAGE),
        stored,
        Store(1, 5, 100, 10, 2, 0, PAGE),
        stored,
        Sync(1, "msync", (5,), 0, 600),
        Synced(1, 0),
        Store(1, 5, 90, 10, 2, 0, PAGE),
        stored,
        Store(1, 5, 100, 10, 3, 0, PAGE),
        stored,
        Sync(1, "fsync", (5,), 0, 0),
        Synced(1, 0),
    ]
    assert list(read_ledger(ledger_path)) == expected
    assert look(path) == [(0, 90, 1, 1), (90, 10, 2, 1), (100, 10, 3, 1), (110, 490, 1, 1)]


WHOLE_PAGES = sorted(name for name in ACCESSES if not name.startswith("store-"))


@pytest.mark.parametrize("access", WHOLE_PAGES)
def test_faults_are_recorded_by_page(access: str, start: Start, new_file: NewFile, ledger_path: Path) -> None:
    path = new_file(300)
    ACCESSES[access].prepare(path, 0, 300, PAGE)
    process = start(path, Op("gate", name="cut"), Op("store"), pages=300, pin="none", access=access)
    assert process.wait_gate("cut", TIMEOUT_S)
    os.truncate(path, 290 * PAGE)
    process.release("cut")
    finish(process)
    stored = list(read_ledger(ledger_path))[-1]
    assert isinstance(stored, Stored)
    assert [fault.page for fault in stored.refused] == list(range(290, 300))
    assert look(path) == [(0, 290, 1, 1)]


@pytest.mark.root
@pytest.mark.parametrize("access", ["store", "proc-mem"])
def test_a_worker_cannot_be_driven_by_others_of_its_user(access: str, start: Start, new_file: NewFile) -> None:
    """It gains no privileges either. Once a worker that stores through /proc/self/mem was open to every `nobody`."""
    process = start(new_file(1), Op("store"), pages=1, access=access)
    finish(process)

    def try_it() -> int:
        os.setgroups([])
        os.setresgid(GID, GID, GID)
        os.setresuid(UID, UID, UID)
        return libc.errno_of(lambda: Path(f"/proc/{process.pid}/mem").open("r+b").close())

    assert in_child(try_it) == errno.EACCES
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert fields["NoNewPrivs"] == "1"


def test_crossing_stores_are_recorded_pair_by_pair(start: Start, new_file: NewFile, ledger_path: Path) -> None:
    path = new_file(3)
    finish(start(path, Op("store"), pages=3, access="store-crossing"))
    stores = [record for record in read_ledger(ledger_path) if isinstance(record, Store)]
    lo, hi = PAGE - 100, 100
    assert stores == [Store(1, 5, 0, 2, 1, lo, hi, True), Store(1, 5, 2, 1, 1, lo, PAGE)]
    content = path.read_bytes()
    page = stamp.page(run=RUN, file=5, page=1, generation=1, writer=1, kind=stamp.Kind.STORE, page_bytes=PAGE)
    assert content[PAGE : 2 * PAGE] == page[:hi] + bytes(PAGE - hi)


def test_several_workers_share_one_file(start: Start, new_file: NewFile, ledger_path: Path) -> None:
    path = new_file(512)
    ops = tuple(Op("store", pages=0) for _ in range(3))
    processes = [start(path, *ops, pages=128, first_page=128 * n, worker=n + 1) for n in range(4)]
    for process in processes:
        finish(process)
    assert look(path) == [(128 * n, 128, 3, n + 1) for n in range(4)]
    records = list(read_ledger(ledger_path))
    assert sum(isinstance(record, Stored) for record in records) == 12


def test_a_gate_holds_until_released_and_can_be_released_in_advance(start: Start, new_file: NewFile) -> None:
    process = start(new_file(1), Op("gate", name="a"), Op("gate", name="b"), pages=1)
    process.release("b")
    assert not process.wait_gate("b", 0.05)
    assert process.wait_finished(0.05).state == "timeout"
    assert process.wait_gate("a", TIMEOUT_S)
    process.release("a")
    finish(process)
    assert process.wait_gate("b", TIMEOUT_S)
    assert not process.wait_gate("never", TIMEOUT_S)


def descriptors(process: WorkerProcess) -> set[str]:
    return {str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir() if int(entry.name) > 2}


def test_keeps_the_file_open_mapped_and_locked_until_told_to_end(start: Start, new_file: NewFile) -> None:
    path = new_file(4)
    process = start(path, Op("store"), pages=4)
    finish(process)
    time.sleep(0.1)  # long enough for a worker that does not wait to be gone
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert f"VmLck:\t{4 * PAGE // 1024:8d} kB" in status
    assert str(path) in Path(f"/proc/{process.pid}/maps").read_text()
    assert str(path) in descriptors(process)
    report = process.end(TIMEOUT_S)
    assert (report.state, report.exit_code) == ("finished", 0)
    assert not Path(f"/proc/{process.pid}").exists()
    assert process.end(TIMEOUT_S) == process.kill() == report


def test_end_reaches_a_worker_at_a_gate(start: Start, new_file: NewFile, ledger_path: Path) -> None:
    process = start(new_file(1), Op("gate", name="a"), Op("store"), pages=1)
    assert process.wait_gate("a", TIMEOUT_S)
    assert process.end(TIMEOUT_S).state == "finished"
    assert not any(isinstance(record, Store) for record in read_ledger(ledger_path))


def test_inherits_no_descriptor(start: Start, new_file: NewFile, ledger_path: Path, directory: Path) -> None:
    path = new_file(1)
    first = start(path, pages=1)
    with open(directory / "leak", "w") as leak, open(fcntl.fcntl(leak, fcntl.F_DUPFD, 500), "w"):
        second = start(path, pages=1, worker=2)
        for process in (first, second):
            finish(process)
            others = descriptors(process) - {str(path), str(ledger_path)}
            assert len(others) == 1
            assert others.pop().startswith("socket:")


@pytest.mark.root
def test_is_unprivileged_and_limited(start: Start, new_file: NewFile, ledger_path: Path) -> None:
    groups = os.getgroups()
    os.setgroups([*groups, 12345])
    process = start(new_file(4), pages=4, memlock_bytes=2 * PAGE)
    os.setgroups(groups)
    finish(process)
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status
    assert f"Gid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Groups:\t \n" in status
    assert list(read_ledger(ledger_path))[-1] == Pinned(1, 12)


@pytest.mark.root
def test_a_ledger_that_only_root_may_write_is_opened_before(start: Start, new_file: NewFile, ledger_path: Path) -> None:
    ledger_path.touch(0o600)
    finish(start(new_file(1), pages=1))
    assert len(list(read_ledger(ledger_path))) == 2


def test_a_worker_that_breaks_says_why(start: Start, new_file: NewFile, directory: Path) -> None:
    report = start(directory / "absent", pages=1).wait_finished(TIMEOUT_S)
    assert (report.state, report.exit_code, report.signal) == ("died", worker.EXIT_BROKE, None)
    assert "FileNotFoundError" in report.error and report.errno == errno.ENOENT
    report = start(new_file(1), pages=1, pin="glue").wait_finished(TIMEOUT_S)
    assert "KeyError: 'glue'" in report.error and report.errno is None


def test_an_error_of_a_workers_child_is_the_workers(
    start: Start, new_file: NewFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SecondProcess, "_store_elsewhere", lambda *_: os.open("/absent", os.O_RDONLY))
    report = start(new_file(1), Op("store"), pages=1, access="second-process").wait_finished(TIMEOUT_S)
    assert (report.state, report.errno) == ("died", errno.ENOENT)


def test_a_worker_that_is_killed_died_of_its_signal(start: Start, new_file: NewFile) -> None:
    process = start(new_file(1), Op("gate", name="a"), pages=1)
    assert process.wait_gate("a", TIMEOUT_S)
    os.kill(process.pid, signal.SIGKILL)
    report = process.wait_finished(TIMEOUT_S)
    assert (report.state, report.signal, report.error) == ("died", signal.SIGKILL, "")
    assert not process.wait_gate("b", TIMEOUT_S)
    process.release("a")
    assert process.end(TIMEOUT_S) == report


def test_kill_ends_a_worker(start: Start, new_file: NewFile) -> None:
    process = start(new_file(1), Op("gate", name="a"), pages=1)
    report = process.kill()
    assert (report.state, report.signal) == ("died", signal.SIGKILL)


def test_does_not_heed_an_interrupt_from_the_terminal(start: Start, new_file: NewFile) -> None:
    process = start(new_file(1), Op("gate", name="a"), pages=1)
    assert process.wait_gate("a", TIMEOUT_S)
    os.kill(process.pid, signal.SIGINT)
    process.release("a")
    finish(process)


ORPHAN = """
import os, sys, time
from pathlib import Path
from workloads import worker
from workloads.plan import Op, WorkerPlan
plan = WorkerPlan(1, 5, sys.argv[1], 0, 1, "none", "store", (Op("gate", name="a"),))
task = worker.Task((plan,), run=1, ledger_path=Path(sys.argv[2]), uid=int(sys.argv[3]), gid=int(sys.argv[4]),
                   memlock_bytes=-1, page_bytes=int(sys.argv[5]))
process = worker.start(task)
assert process.wait_gate("a", 20)
holder = os.fork()
if holder == 0:
    for stream in range(3):
        os.close(stream)
    time.sleep(60)
    os._exit(0)
print(process.pid, holder, flush=True)
os.kill(os.getpid(), 9)
"""


def test_dies_with_its_starter(new_file: NewFile, ledger_path: Path) -> None:
    """Even while it is not listening: here another process holds the starter's end of the channel."""
    arguments = [str(new_file(1)), str(ledger_path), str(UID), str(GID), str(PAGE)]
    command = [sys.executable, "-c", ORPHAN, *arguments]
    starter = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert starter.returncode == -signal.SIGKILL, starter.stderr
    worker_pid, holder_pid = starter.stdout.split()
    orphan = Path(f"/proc/{worker_pid}/stat")
    deadline = time.monotonic() + TIMEOUT_S
    while orphan.exists() and orphan.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(int(holder_pid), signal.SIGKILL)


@pytest.mark.root
@pytest.mark.parametrize(("access", "how"), [("store", "SIGBUS"), ("read", "EFAULT")])
def test_a_full_filesystem_refuses_pages_it_cannot_allocate(
    access: str,
    how: str,
    scratch: Callable[[list[str], int], Path],
    start: Start,
    fill: Callable[[Path], None],
    ledger_path: Path,
) -> None:
    """The real thing: page_mkwrite of ext4 on a full filesystem, for a user without reserved blocks."""
    mount_point = scratch(["mkfs.ext4", "-q", "-b", "4096", "-m", "0"], 16)
    path = mount_point / "f"
    path.touch()
    path.chmod(0o666)
    os.truncate(path, 8 * PAGE)
    fill(mount_point / "ballast")
    finish(start(path, Op("store"), pages=8, access=access))
    pinned, _, stored = list(read_ledger(ledger_path))[-3:]
    assert pinned == Pinned(1, 0)
    assert isinstance(stored, Stored)
    assert [(fault.page, fault.how) for fault in stored.refused] == [(page, how) for page in range(8)]

"""Access paths store what they are told, and report each page that is refused instead of dying of it."""

import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from workloads import _access
from workloads.access import ACCESSES, Access
from workloads.mapped_file import MappedFile

PAGE = mmap.PAGESIZE
BUS_ADRERR = 2
Mapped = Callable[[int, int], MappedFile]


def pages_of(*letters: bytes) -> memoryview:
    return memoryview(bytearray(b"".join(letter * PAGE for letter in letters)))


PARTIAL = ("store-byte", "store-sector", "store-unaligned", "store-crossing")


@pytest.fixture(params=sorted(set(ACCESSES) - set(PARTIAL)))
def name(request: pytest.FixtureRequest) -> str:
    """A path that stores whole pages."""
    return str(request.param)


def open_access(name: str, place: MappedFile) -> Access:
    ACCESSES[name].prepare(place.path, place.first_page, place.pages, PAGE)
    return ACCESSES[name](place)


def test_stores_whole_pages_where_they_belong(name: str, mapped: Mapped) -> None:
    place = mapped(4, 4)
    access = open_access(name, place)
    assert access.store(1, 2, pages_of(b"x", b"y")) == ()
    assert place.path.read_bytes() == bytes(PAGE) + b"x" * PAGE + b"y" * PAGE + bytes(PAGE)
    access.close()


def test_counts_pages_in_the_file_not_in_the_mapping(
    name: str, new_file: Callable[[int], os.PathLike[str]], opened: Callable[..., MappedFile]
) -> None:
    place = opened(new_file(4), 1, first_page=3)
    place.map()
    access = open_access(name, place)
    assert access.store(3, 1, pages_of(b"x")) == ()
    assert place.path.read_bytes() == bytes(3 * PAGE) + b"x" * PAGE
    access.close()


def test_reports_refused_pages_and_stores_the_others(name: str, mapped: Mapped) -> None:
    place = mapped(4, 2)
    access = open_access(name, place)
    faults = access.store(1, 3, pages_of(b"x", b"y", b"z"))
    assert [fault.page for fault in faults] == [2, 3]
    efault = {("EFAULT", 14)}
    expected = {"read": efault, "readv": efault, "process-vm-writev": efault, "direct-read": efault}
    expected["proc-mem"] = {("EIO", 5)}
    assert {(fault.how, fault.code) for fault in faults} == expected.get(name, {("SIGBUS", BUS_ADRERR)})
    if name not in ("second-process", "second-descriptor"):  # these have the pages mapped elsewhere
        assert all(0 <= fault.address - place.page_address(fault.page) < PAGE for fault in faults)
    assert place.path.read_bytes() == bytes(PAGE) + b"x" * PAGE
    access.close()


def test_stores_only_the_bytes_it_reaches(name: str, mapped: Mapped, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in ("direct-read", "second-process"):
        pytest.skip("whole blocks only" if name == "direct-read" else "the other process stores whole pages")

    place = mapped(1, 1)
    access = open_access(name, place)
    monkeypatch.setattr(access, "reach", lambda: (5, 517))
    assert access.store(0, 1, pages_of(b"x")) == ()
    assert place.path.read_bytes() == bytes(5) + b"x" * 512 + bytes(PAGE - 517)
    access.close()


@pytest.mark.parametrize("name", sorted(set(PARTIAL) - {"store-crossing"}))
def test_a_partial_path_stores_its_bytes_of_every_page(name: str, mapped: Mapped) -> None:
    place = mapped(2, 2)
    access = open_access(name, place)
    lo, hi = access.reach()
    assert 0 < hi - lo < PAGE
    assert access.store(0, 2, pages_of(b"x", b"y")) == ()
    page = bytes(lo) + b"%c" * (hi - lo) + bytes(PAGE - hi)
    assert place.path.read_bytes() == page.replace(b"%c", b"x") + page.replace(b"%c", b"y")
    access.close()


def test_a_crossing_store_is_one_piece_over_the_boundary(mapped: Mapped) -> None:
    place = mapped(4, 3)
    access = ACCESSES["store-crossing"](place)
    lo, hi = access.reach()
    assert access.crossing
    assert access.store(1, 2, pages_of(b"x", b"y")) == ()
    after = bytes(PAGE + lo) + b"x" * (PAGE - lo) + b"y" * hi + bytes(PAGE - hi)
    assert place.path.read_bytes() == after
    faults = access.store(2, 2, pages_of(b"x", b"y"))
    assert [fault.page for fault in faults] == [2, 3]


def test_threads_trap_their_own_faults_only(mapped: Mapped) -> None:
    pages, kept = 64, 40
    places = [mapped(pages, kept) for _ in range(4)]
    refused: list[list[int]] = [[] for _ in places]

    def work(index: int) -> None:
        access = ACCESSES["store"](places[index])
        for _ in range(30):
            faults = access.store(0, pages, pages_of(*[bytes([65 + index])] * pages))
            refused[index].append(len(faults))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(places))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [[pages - kept] * 30] * len(places)
    for index, place in enumerate(places):
        assert place.path.read_bytes() == bytes([65 + index]) * kept * PAGE


def test_other_threads_run_during_a_store() -> None:
    """The GIL is released: the main thread sees time pass well inside the call."""
    pages = (64 << 20) // PAGE
    called: list[float] = []

    def work() -> None:
        with mmap.mmap(-1, pages * PAGE) as target, mmap.mmap(-1, pages * PAGE) as content:
            called.append(time.monotonic())
            _access.store(target, content, PAGE, 0, pages, 0, PAGE)
            called.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    seen = []
    while len(called) < 2:
        seen.append(time.monotonic())
        time.sleep(0.001)
    thread.join()
    begin, end = called
    quarter = (end - begin) / 4
    assert any(begin + quarter < moment < end - quarter for moment in seen)


@pytest.mark.parametrize(
    "place",
    [
        (0, 0, 1, 0, 1),
        (PAGE, -1, 1, 0, PAGE),
        (PAGE, 0, -1, 0, PAGE),
        (PAGE, 1, 2, 0, PAGE),
        (PAGE, 3, 0, 0, PAGE),
        (PAGE, 0, 2, 0, PAGE),
        (PAGE, 0, 1, -1, PAGE),
        (PAGE, 0, 1, 2, 1),
        (PAGE, 0, 1, 0, PAGE + 1),
    ],
)
def test_refuses_to_store_outside_of_its_buffers(place: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError):
        _access.store(bytearray(2 * PAGE), bytes(PAGE), *place)


def test_refuses_a_mapping_that_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="read-write"):
        _access.store(bytes(PAGE), bytes(PAGE), PAGE, 0, 1, 0, PAGE)


PREPARE = """
import ctypes, mmap, os, signal, sys, tempfile
from workloads import _access
PAGE = mmap.PAGESIZE
def cut(pages=1):
    file = tempfile.TemporaryFile()
    file.truncate(pages * PAGE)
    mapping = mmap.mmap(file.fileno(), pages * PAGE)
    file.truncate(0)
    return file, mapping
def trap_once():
    file, mapping = cut()
    assert _access.store(mapping, bytes(PAGE), PAGE, 0, 1, 0, PAGE)[0][:2] == (0, 2)
"""


def child(script: str) -> int:
    """The exit status of a Python that runs a script; minus the signal that killed it."""
    command = [sys.executable, "-c", PREPARE + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert "Error" not in done.stderr, done.stderr
    return done.returncode


def test_a_fault_outside_of_any_store_still_kills() -> None:
    assert child("trap_once(); file, mapping = cut(); mapping[0]; sys.exit(1)") == -signal.SIGBUS


def test_a_fault_of_the_last_page_stored_still_kills_after_the_store() -> None:
    script = """
file = tempfile.TemporaryFile()
file.truncate(PAGE)
mapping = mmap.mmap(file.fileno(), PAGE)
assert _access.store(mapping, bytes(PAGE), PAGE, 0, 1, 0, PAGE) == []
file.truncate(0)
mapping[0]
sys.exit(1)
"""
    assert child(script) == -signal.SIGBUS


def test_a_fault_of_the_content_during_a_store_still_kills() -> None:
    script = "file, mapping = cut(); _access.store(bytearray(PAGE), mapping, PAGE, 0, 1, 0, PAGE); sys.exit(1)"
    assert child(script) == -signal.SIGBUS


def test_a_sigbus_that_was_sent_still_kills() -> None:
    assert child("trap_once(); os.kill(os.getpid(), signal.SIGBUS); sys.exit(1)") == -signal.SIGBUS


def test_a_sigbus_that_was_sent_stays_ignored() -> None:
    ignoring = "signal.signal(signal.SIGBUS, signal.SIG_IGN); trap_once();"
    assert child(ignoring + "os.kill(os.getpid(), signal.SIGBUS); trap_once(); sys.exit(3)") == 3


def test_a_fault_still_kills_where_sigbus_was_ignored() -> None:
    ignoring = "signal.signal(signal.SIGBUS, signal.SIG_IGN); trap_once();"
    assert child(ignoring + "file, mapping = cut(); mapping[0]; sys.exit(1)") == -signal.SIGBUS


HANDLE = """
import threading
libc = ctypes.CDLL(None)
libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.signal.restype = ctypes.c_void_p
def handle_sigbus(function):
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(function)
    libc.signal(signal.SIGBUS, ctypes.cast(handler, ctypes.c_void_p))
    return handler
def refused(faults):
    return [fault[0] for fault in faults]
def half():
    file, mapping = cut(2)
    file.truncate(PAGE)
    return file, mapping
def mend(file):
    os.truncate(file.fileno(), 2 * PAGE)
    os.pwrite(file.fileno(), b"x" * PAGE, 0)
"""


def test_an_earlier_handler_stores_through_a_trap_inside_a_store() -> None:
    """Nested traps: a store's content faults; the earlier handler has a store of its own refused, and mends the
    content; then the outer store has a page refused."""
    script = """
content_file, content = cut(2)
target_file, target = half()
inner = []
def inside(number):
    inner.append(refused(_access.store(cut(2)[1], bytes(2 * PAGE), PAGE, 0, 2, 0, PAGE)))
    mend(content_file)
handler = handle_sigbus(inside)
assert refused(_access.store(target, content, PAGE, 0, 2, 0, PAGE)) == [1]
assert target[:PAGE] == b"x" * PAGE and inner == [[0, 1]], inner
sys.exit(7)
"""
    assert child(HANDLE + script) == 7


def test_each_thread_has_traps_of_its_own() -> None:
    """The first thread's store has a page refused while a store that began later, in another thread, is going on."""
    script = """
first, second = cut(2), cut(2)
first_inside, second_inside, first_done = threading.Event(), threading.Event(), threading.Event()
def inside(number):
    if threading.current_thread() is threading.main_thread():
        assert not first_inside.is_set()
        first_inside.set()
        assert second_inside.wait(20)
        mend(first[0])
    else:
        second_inside.set()
        assert first_done.wait(20)
        mend(second[0])
handler = handle_sigbus(inside)
results = []
def later():
    assert first_inside.wait(20)
    results.append(refused(_access.store(half()[1], second[1], PAGE, 0, 2, 0, PAGE)))
thread = threading.Thread(target=later)
thread.start()
results.append(refused(_access.store(half()[1], first[1], PAGE, 0, 2, 0, PAGE)))
first_done.set()
thread.join()
assert results == [[1], [1]], results
sys.exit(7)
"""
    assert child(HANDLE + script) == 7


def test_an_earlier_handler_with_siginfo_gets_the_signal_unchanged() -> None:
    script = """
class Action(ctypes.Structure):
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int),
                ("restorer", ctypes.c_void_p)]
libc = ctypes.CDLL(None)
file, mapping = cut()
address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p)
def leave(number, info, context):
    where = ctypes.cast(info, ctypes.POINTER(ctypes.c_uint64))[2]
    os._exit(9 if (number, info[2], where) == (signal.SIGBUS, 2, address) else 1)
SA_SIGINFO = 4
action = Action(ctypes.cast(leave, ctypes.c_void_p), (ctypes.c_ulong * 16)(), SA_SIGINFO, None)
assert libc.sigaction(signal.SIGBUS, ctypes.byref(action), None) == 0
trap_once()
libc.memset(ctypes.c_void_p(address), 1, 1)
"""
    assert child(script) == 9


def test_the_read_path_raises_what_is_no_fault_of_the_page(mapped: Mapped) -> None:
    access = ACCESSES["read"](mapped(1, 1))
    os.dup2(os.open(os.devnull, os.O_WRONLY), access._source)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="Bad file descriptor"):
        access.store(0, 1, pages_of(b"x"))

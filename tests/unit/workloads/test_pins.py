"""Pins lock what they say, count what they say against RLIMIT_MEMLOCK, and return an errno when they cannot."""

import errno
import mmap
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from workloads.limits import UNLIMITED, highest_memlock_bytes, set_memlock
from workloads.mapped_file import MappedFile
from workloads.pins import PINS

PAGE = mmap.PAGESIZE
PAGES = 8
NOBODY = 65534


def smaps(address: int) -> dict[str, str]:
    """The fields of the mapping at an address in /proc/self/smaps."""
    text = Path("/proc/self/smaps").read_text()
    found = re.search(rf"^{address:x}-.*\n((?:\w+:.*\n)+)", text, re.MULTILINE)
    assert found
    return dict(re.findall(r"^(\w+): *(.*)$", found[1], re.MULTILINE))


def in_child(check: Callable[[], bool]) -> bool:
    """What a check says in a forked process, whose limits and user it may change."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if check() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("pin", "flags", "resident_pages"),
    [
        ("none", set(), 0),
        ("mlock", {"lo"}, PAGES),
        ("mlock2-onfault", {"lo"}, 0),
        ("map-locked", {"lo"}, PAGES),
        ("munlocked", set(), PAGES),
        ("mlock-elsewhere", set(), 0),
        ("map-populate", set(), PAGES),
        ("populate-read", set(), PAGES),
        ("populate-write", set(), PAGES),
    ],
)
def test_locks_and_populates(
    pin: str,
    flags: set[str],
    resident_pages: int,
    new_file: Callable[[int], Path],
    opened: Callable[..., MappedFile],
) -> None:
    place = opened(new_file(PAGES), PAGES)
    assert PINS[pin].pin(place) == 0
    seen = smaps(place.address)
    assert {"lo"} & set(seen["VmFlags"].split()) == flags
    assert seen["Rss"] == f"{resident_pages * PAGE // 1024} kB"


def test_locks_a_part_only(new_file: Callable[[int], Path], opened: Callable[..., MappedFile]) -> None:
    place = opened(new_file(PAGES), PAGES)
    assert PINS["mlock-part"].pin(place) == 0
    assert "lo" in smaps(place.address)["VmFlags"].split()
    assert "lo" not in smaps(place.address + PAGES // 2 * PAGE)["VmFlags"].split()


@pytest.mark.parametrize(
    ("pin", "resident_pages"),
    [
        ("mlockall-current", PAGES),
        ("mlockall-current-onfault", 0),
        ("mlockall-future", PAGES),
        ("mlockall-future-onfault", 0),
    ],
)
def test_mlockall_locks_the_mapping(
    pin: str, resident_pages: int, new_file: Callable[[int], Path], opened: Callable[..., MappedFile]
) -> None:
    """In a process of its own, since nothing undoes it there."""
    place = opened(new_file(PAGES), PAGES)
    highest = highest_memlock_bytes()
    if highest != UNLIMITED and PINS[pin].locked_bytes(PAGES * PAGE) > highest:
        pytest.skip(f"RLIMIT_MEMLOCK cannot be raised beyond {highest} bytes")

    def check() -> bool:
        set_memlock(UNLIMITED)
        failed = PINS[pin].pin(place)
        seen = smaps(place.address)
        return failed == 0 and "lo" in seen["VmFlags"].split() and seen["Rss"] == f"{resident_pages * PAGE // 1024} kB"

    assert in_child(check)


def test_the_process_that_locks_elsewhere_is_gone_when_the_file_is_closed(
    new_file: Callable[[int], Path],
) -> None:
    place = MappedFile(new_file(PAGES), file=1, first_page=0, pages=PAGES, page_bytes=PAGE)
    before = set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    assert PINS["mlock-elsewhere"].pin(place) == 0
    children = set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()) - before
    locked = [re.search(r"VmLck:\s+(\d+) kB", Path(f"/proc/{child}/status").read_text()) for child in children]
    assert [int(found[1]) for found in locked if found] == [PAGES * PAGE // 1024]
    place.close()
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.parametrize(("pin", "refusal"), [("mlock", errno.ENOMEM), ("map-locked", errno.EAGAIN)])
def test_returns_the_errno_beyond_the_limit_and_maps_all_the_same(
    pin: str, refusal: int, new_file: Callable[[int], Path], opened: Callable[..., MappedFile]
) -> None:
    place = opened(new_file(PAGES), PAGES)

    def check() -> bool:
        if os.geteuid() == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
        limit = PINS[pin].locked_bytes(place.length_bytes) - PAGE
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
        return PINS[pin].pin(place) == refusal and len(place.view) == PAGES * PAGE

    assert in_child(check)


@pytest.mark.parametrize("pin", sorted(PINS))
def test_needs_no_more_than_it_says(pin: str, new_file: Callable[[int], Path], opened: Callable[..., MappedFile]) -> None:
    place = opened(new_file(PAGES), PAGES)
    highest = highest_memlock_bytes()
    if highest != UNLIMITED and PINS[pin].locked_bytes(PAGES * PAGE) > highest:
        pytest.skip(f"RLIMIT_MEMLOCK cannot be raised beyond {highest} bytes")

    def check() -> bool:
        if os.geteuid() == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
        limit = PINS[pin].locked_bytes(place.length_bytes)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
        return PINS[pin].pin(place) == 0

    assert in_child(check)

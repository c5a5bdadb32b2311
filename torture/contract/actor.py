"""What an experiment does to its file, and the record of what it was told: plain data that outlives the process.

The steps of an experiment are functions of `Hands`, so that most clauses are rows of steps (`torture.contract.stores`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torture.contract.subject import Subject
from workloads import libc
from workloads.access import ACCESSES
from workloads.mapped_file import MappedFile
from workloads.pins import PINS
from workloads.syncs import SYNCS
from workloads.writeback import write_back

STORE = "store"


@dataclass(slots=True)
class Told:
    """Everything that one experiment was told, in order. `events`: ["store", generation, {page: how it was refused}],
    [sync name, errno], [step name, errno]; `evidence`: whatever else it saw."""

    pin: int = 0
    events: list[list[Any]] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        """How many page stores were refused."""
        return sum(len(event[2]) for event in self.events if event[0] == STORE)

    def errnos(self, name: str) -> list[int]:
        """What the syncs or steps of a name returned."""
        return [event[1] for event in self.events if event[0] == name]


class Hands:
    """The mapping of a subject, pinned as its arm says, and the record of what is done through it."""

    def __init__(self, subject: Subject) -> None:
        """Open, map and pin. Raises OSError if the file cannot be mapped."""
        self.subject, self.told = subject, Told()
        place = {"first_page": 0, "pages": subject.pages, "page_bytes": subject.page_bytes}
        self.mapped = MappedFile(subject.path, file=subject.file, **place)
        self.told.pin = PINS[subject.pin].pin(self.mapped)
        self._generation = 0
        self._ended = False

    def store(self, access: str = STORE) -> None:
        """Store the next generation to every page, by an access path of workloads.access."""
        self._generation += 1
        opened = ACCESSES[access](self.mapped)
        try:
            content = memoryview(self.subject.content(self._generation))
            refused = {str(fault.page): fault.how for fault in opened.store(0, self.subject.pages, content)}
        finally:
            opened.close()
        self.told.events.append([STORE, self._generation, refused])

    def sync(self, name: str) -> int:
        """A sync of workloads.syncs over the whole mapping; returns its errno."""
        failed = SYNCS[name].perform(self.mapped, 0, self.subject.pages)
        self.told.events.append([name, failed])
        return failed

    def attempt(self, name: str, call: Callable[[], None]) -> int:
        """Record the errno of anything else."""
        failed = libc.errno_of(call)
        self.told.events.append([name, failed])
        return failed

    def end(self) -> None:
        """Unmap and close, if that is not done yet."""
        if not self._ended:
            self._ended = True
            self.mapped.close()


Step: TypeAlias = Callable[[Hands], None]


def store(hands: Hands) -> None:
    """memcpy by the program."""
    hands.store()


def msync(hands: Hands) -> None:
    """msync(MS_SYNC) of the mapping."""
    hands.sync("msync")


def background(hands: Hands) -> None:
    """Writeback that nobody asked a result of."""
    write_back(hands.mapped)


def protect_and_back(hands: Hands) -> None:
    """Read-only, then writable again (mprotect(2))."""
    mapped = hands.mapped
    for prot in (libc.PROT_READ, libc.PROT_READ | libc.PROT_WRITE):
        libc.mprotect(mapped.address, mapped.length_bytes, prot)


def move(hands: Hands) -> None:
    """To another address (mremap(2))."""
    hands.mapped.move()


def munlock(hands: Hands) -> None:
    """munlock(2); does nothing to a mapping that was not locked."""
    libc.munlock(hands.mapped.address, hands.mapped.length_bytes)


def end(hands: Hands) -> None:
    """munmap(2), then close(2)."""
    hands.end()


@dataclass(frozen=True, slots=True)
class StoreBy:
    """A store by another access path."""

    access: str

    def __call__(self, hands: Hands) -> None:
        hands.store(self.access)


def name_of(number: int) -> str:
    """An errno in words."""
    return errno.errorcode.get(number, str(number)) if number else "0"

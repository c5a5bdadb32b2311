"""What one file may hold: its part of the ledger, put together page range by page range on demand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from verify.acks import EndedSync, Syncs, durability
from verify.history import BASE, ZERO, Allowance, Content, Event, Fate, History, W, allow
from verify.intervals import Overlay, Placed
from verify.ledger import Base, File, Worker


@dataclass(frozen=True, slots=True)
class Deed:
    """A store or zeroing of bytes [lo, hi) of each page that it is placed on."""

    wrote: Content
    lo: int
    hi: int
    began: int
    """Ledger position of its beginning."""
    ended: int | None
    """Ledger position of its result, None if it never returned."""
    fate: Fate


@dataclass(frozen=True, slots=True)
class Resized:
    """A change of the file's size; positions as in Deed."""

    size_bytes: int
    began: int
    ended: int | None
    fate: Fate


Item = Base | Deed | EndedSync | Worker


@dataclass(frozen=True, slots=True)
class Segment:
    """Adjacent pages [first_page, end_page) with one history."""

    first_page: int
    end_page: int
    history: History
    workers: tuple[Worker, ...]
    """Those whose pages they are."""


class FileExpectation:
    """What the pages of a file may hold, and how big it may be.

    `placed` holds for ranges of pages, in the order of the ledger, the syncs of ranges among it; `whole_syncs` are the
    syncs of the whole file in the order in which they ended.
    """

    def __init__(
        self,
        file: File,
        placed: Sequence[Placed[Item]],
        whole_syncs: Sequence[EndedSync],
        resizes: Sequence[Resized],
    ) -> None:
        self.file = file
        self._overlay = Overlay(placed)
        self._whole = Syncs(whole_syncs)
        ranged = (each.item for each in placed if isinstance(each.item, EndedSync))
        self._any = Syncs(sorted([*whole_syncs, *ranged], key=lambda sync: sync.ended))
        self._resizes = tuple(resizes)

    def segments(self, end_page: int) -> Iterator[Segment]:
        """Adjacent segments from page 0 to `end_page`, one in memory at a time."""
        for first, end, items in self._overlay.segments(end_page):
            yield Segment(first, end, self._history(items), tuple(i for i in items if isinstance(i, Worker)))

    def size(self, *, crash: bool) -> Allowance[int]:
        """The sizes in bytes that the file may have.

        A sync of any range vouches for the size: fdatasync(2) has to flush what is needed to read the data back.
        """
        events = [_event(each.size_bytes, 0, 1, each.began, each.ended, each.fate, [self._any]) for each in self._resizes]
        return allow(self.file.size_bytes, events, crash=crash, emptied=self.file.size_bytes)

    @property
    def refused_a_size(self) -> bool:
        """Whether a change of the size failed. Then any size between the old one and the new one is legal.

        xfs, for instance, sets the new size in memory, writes back, and fails if that fails (xfs_setattr_size). Each
        later writeback then raises the size on the disk a little.
        """
        return any(each.fate == "faulted" for each in self._resizes)

    def _history(self, items: Sequence[Item]) -> History:
        base = ZERO
        for item in items:
            if isinstance(item, Base):
                base = BASE if item.kind == "stamp" else ZERO
        covering = [self._whole, Syncs([item for item in items if isinstance(item, EndedSync)])]
        deeds = sorted((item for item in items if isinstance(item, Deed)), key=lambda deed: deed.began)
        return History(base, tuple(_event(d.wrote, d.lo, d.hi, d.began, d.ended, d.fate, covering) for d in deeds))


def _event(wrote: W, lo: int, hi: int, began: int, ended: int | None, fate: Fate, covering: Sequence[Syncs]) -> Event[W]:
    told = durability(began, ended, fate == "accepted", covering)
    return Event(wrote, lo, hi, began, ended, fate, told.acked, told.reported)

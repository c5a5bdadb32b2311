"""Walks through one file: what was read of it side by side with what it may hold.

Streams: one observation and one segment of expectations in memory at a time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from errno import errorcode
from typing import TypeAlias

from verify.breach import Breach, breaches, of_file, strongest_promise, unreadable
from verify.expectation import FileExpectation, Segment
from verify.identity import Identity
from verify.observation import Missing, Observation, ObservationError, Page, Size, Unreadable
from verify.sectors import PageJudge, Piece
from verify.stamp import SECTOR_BYTES, Look, Span

Pages: TypeAlias = Span | Page | Unreadable

MAX_SINGLE_PAGES = 1 << 18
"""So many pages of spans are judged one by one, as many as a worker may have, before the rest is left unjudged: a span of a
few bytes may stand for any number of pages."""
_TOO_MANY = Breach("unjudged", "store", None, "", f"more than {MAX_SINGLE_PAGES} pages that bytes would tell", None, 0)


@dataclass(frozen=True, slots=True)
class Located:
    """A breach and where it is."""

    first_page: int
    pages: int
    """0 for the file as a whole."""
    pin: str
    access: str
    breach: Breach


class FileCheck:
    """Checks one file. `crash`: whatever was not synced may be lost."""

    def __init__(self, identity: Identity, expectation: FileExpectation, *, crash: bool) -> None:
        self._identity = identity
        self._expectation = expectation
        self._crash = crash
        self._name = expectation.file.name
        self._page_bytes = identity.page_bytes
        self._singly = 0

    def located(self, observations: Iterable[Observation]) -> Iterator[Located]:
        """The breaches by page. Raises ObservationError unless all of the file was observed."""
        stream = iter(observations)
        match next(stream, None):
            case Missing(errno):
                yield self._missing(errno)
            case Size(size_bytes):
                yield from self._check_size(size_bytes)
                yield from self._check_pages(stream, size_bytes)
            case other:
                raise ObservationError(f"{self._name}: observations begin with {other}")

    def _missing(self, errno: int) -> Located:
        size = self._expectation.size(crash=self._crash)
        pages = self._page_count(max(size.allowed))
        promise = strongest_promise([size, *self._pieces_between(0, pages)])
        found = f"open gives {_errno_name(errno)}"
        return Located(0, pages, "", "", of_file("unreadable", promise, size, found))

    def _check_size(self, size_bytes: int) -> Iterator[Located]:
        size = self._expectation.size(crash=self._crash)
        found = f"{size_bytes} bytes"
        if size_bytes in size.allowed:
            return
        if self._expectation.refused_a_size and min(size.allowed) < size_bytes < max(size.allowed):
            return
        if size_bytes in size.excused:
            yield Located(0, 0, "", "", of_file("late", "store", size, found))
        elif size_bytes < max(size.allowed):
            first, end = size_bytes // self._page_bytes, self._page_count(max(size.allowed))
            promise = strongest_promise([size, *self._pieces_between(first, end)])
            yield Located(first, end - first, "", "", of_file("short", promise, size, found))
        else:
            yield Located(0, 0, "", "", of_file("corrupt", strongest_promise([size]), size, found))

    def _check_pages(self, looks: Iterable[Observation], size_bytes: int) -> Iterator[Located]:
        """Every page that the file has, but no byte past its end."""
        whole_pages, tail_bytes = divmod(size_bytes, self._page_bytes)
        judged: Segment | None = None
        judge = PageJudge(self._identity, ())
        for look, segment, first, end in self._overlaps(looks, self._page_count(size_bytes)):
            if segment is not judged:
                judge, judged = PageJudge(self._identity, self._pieces(segment)), segment
            whole_end = min(end, whole_pages)
            yield from self._judge(look, segment, judge, range(first, whole_end), self._page_bytes)
            yield from self._judge(look, segment, judge, range(max(first, whole_end), end), tail_bytes)

    def _check_whole(self, page: Page) -> None:
        """ObservationError for a page with more or fewer sectors, or bytes, than a page has."""
        if len(page.sectors) * SECTOR_BYTES != self._page_bytes or len(page.raw) not in (0, self._page_bytes):
            raise ObservationError(f"{self._name}: page {page.page} has {len(page.sectors)} sectors, {len(page.raw)} bytes")

    def _overlaps(self, looks: Iterable[Observation], page_count: int) -> Iterator[tuple[Pages, Segment, int, int]]:
        """Each look with each segment that it overlaps, and their common pages [first, end)."""
        segments = self._expectation.segments(page_count)
        segment: Segment | None = None
        reached = 0
        for look in looks:
            if not isinstance(look, Pages) or _first_page(look) != reached:
                raise ObservationError(f"{self._name}: {look} where page {reached} was to come")
            if isinstance(look, Page):
                self._check_whole(look)
            end = reached + (1 if isinstance(look, Page) else look.pages)
            if end > page_count:
                raise ObservationError(f"{self._name}: {look} is past the end, page {page_count}")
            while reached < end:
                if segment is None or segment.end_page == reached:
                    segment = next(segments)
                common_end = min(end, segment.end_page)
                yield look, segment, reached, common_end
                reached = common_end
        if reached != page_count:
            raise ObservationError(f"{self._name}: {reached} of {page_count} pages were observed")

    def _judge(self, look: Pages, segment: Segment, judge: PageJudge, pages: range, limit_bytes: int) -> Iterator[Located]:
        """The breaches on these pages, each judged up to `limit_bytes`."""
        step = len(pages) if self._is_uniform(look, judge) else 1
        if isinstance(look, Span) and step == 1:
            self._singly += len(pages)
            if self._singly > MAX_SINGLE_PAGES:
                yield Located(pages.start, len(pages), *_owner(segment, None), _TOO_MANY)
                return
        for page in pages[:: step or 1]:
            for breach in self._breaches(look, judge, page, limit_bytes):
                yield Located(page, step, *_owner(segment, breach.writer), breach)

    def _is_uniform(self, look: Pages, judge: PageJudge) -> bool:
        """Whether all pages of the look that share a history are judged alike, so that judging one is enough."""
        return not isinstance(look, Span) or judge.by_name or judge.is_page_alike(self._identity.of_span(look))

    def _breaches(self, look: Pages, judge: PageJudge, page: int, limit_bytes: int) -> list[Breach]:
        role = self._expectation.file.role
        match look:
            case Span():
                return breaches(judge.uniform(self._identity.of_span(look), page, limit_bytes), role)
            case Page():
                return breaches(judge.irregular(look, limit_bytes), role)
            case Unreadable(errno=errno):
                sectors = (1 << -(-limit_bytes // SECTOR_BYTES)) - 1
                found = f"read gives {_errno_name(errno)}" if errno else "read says end of file"
                return [unreadable(judge.pieces, sectors, found)]

    def _page_count(self, size_bytes: int) -> int:
        return -(-size_bytes // self._page_bytes)

    def _pieces(self, segment: Segment) -> tuple[Piece, ...]:
        return tuple(segment.history.allowances(self._page_bytes, crash=self._crash))

    def _pieces_between(self, first_page: int, end_page: int) -> Iterator[Piece]:
        for segment in self._expectation.segments(end_page):
            if segment.end_page > first_page:
                yield from self._pieces(segment)


def _first_page(look: Pages) -> int:
    if isinstance(look, Span) and look.look == Look.IRREGULAR:
        raise ObservationError(f"{look} does not tell its sectors")
    return look.page if isinstance(look, Page) else look.first_page


def _owner(segment: Segment, writer: int | None) -> tuple[str, str]:
    """Pin and access path of the writer, or else of the worker that the pages belong to."""
    workers = [worker for worker in segment.workers if worker.worker == writer] or segment.workers
    return (workers[0].pin, workers[0].access) if workers else ("", "")


def _errno_name(errno: int) -> str:
    return errorcode.get(errno, str(errno))

"""What the ledger says about a loss besides that it is one: which calls covered the store, what each returned, and under
which circumstances it was made. Facts only; whether they excuse anything is not said here. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from errno import errorcode

from verify import ledger
from verify.finding import Call, Finding
from verify.ledger import Record

_TELL_NOTHING = ("sync", "sync_file_range")
"""Their success says nothing: sync(2) returns no error, and sync_file_range promises nothing (BUGS and WARNING of their
pages)."""
_WHOLE = ("sync", "syncfs")
_NOT_RETURNED = "did not return"


@dataclass(frozen=True, slots=True)
class _Act:
    """What a worker did between two positions of the ledger; `ended` is past every position if it never returned."""

    record: ledger.File | ledger.Store | ledger.Sync | ledger.Resize | ledger.Zeroed
    began: int
    ended: int
    errno: int | None
    """None if it never returned. Of a store, 0."""

    @property
    def worker(self) -> int:
        """Who did it; 0 if it was done before there were workers."""
        return 0 if isinstance(self.record, ledger.File) else self.record.worker


@dataclass(frozen=True, slots=True)
class _Loss:
    """A finding on a page, and what was done to its file."""

    finding: Finding
    due: _Act
    """What made the content that is due; the file itself, of what it held before the first store."""
    covering: Sequence[_Act]
    """Syncs of the page that may tell of the loss, or vouch for the store, in the order in which they returned."""
    elsewhere: Sequence[_Act]
    """Syncs of other pages of the file that returned an error since then."""
    past: "_Past"

    @property
    def answers(self) -> list[_Act]:
        """The covering syncs that returned and can tell, or did."""
        returned = (act for act in self.covering if act.errno is not None)
        return [act for act in returned if act.errno or _kind(act) not in _TELL_NOTHING]

    @property
    def was_told(self) -> bool:
        """Whether the first answer was an error, or there was a notice of one."""
        return self.answers[:1] != [] and self.answers[0].errno != 0

    @property
    def was_told_elsewhere(self) -> bool:
        """Whether a worker that was answered 0 had been told of an error by a sync of other pages, or by one before."""
        asked = {act.worker: act.ended for act in reversed(self.answers)}
        return any(act.ended < asked.get(act.worker, 0) for act in self.elsewhere)

    @property
    def proofs(self) -> list[_Act]:
        """The covering syncs that returned 0."""
        return [act for act in self.covering if act.errno == 0 and _kind(act) != "sync_file_range"]


def _told(loss: _Loss) -> bool:
    return loss.was_told


def _told_elsewhere(loss: _Loss) -> bool:
    return not loss.was_told and loss.was_told_elsewhere


def _not_asked(loss: _Loss) -> bool:
    return not loss.answers


def _answered_success(loss: _Loss) -> bool:
    return bool(loss.answers) and not loss.was_told and not loss.was_told_elsewhere


def _only_whole(loss: _Loss) -> bool:
    return bool(loss.proofs) and all(_kind(act) in _WHOLE for act in loss.proofs)


def _after_an_error(loss: _Loss) -> bool:
    last = max((act.began for act in loss.proofs), default=-1)
    return any(position < last for position in loss.past.errors)


def _no_data(loss: _Loss) -> bool:
    file = loss.past.files[loss.finding.file]
    page = loss.finding.first_page
    had = any(base.first_page <= page < base.first_page + base.pages for base in file.base if base.kind == "stamp")
    return not had or _freed(loss)


def _freed(loss: _Loss) -> bool:
    return any(act.began < loss.due.began and act.errno in (0, None) for act in loss.past.alterations_of(loss.finding))


def _may_tell(sync: _Act, store: _Act) -> bool:
    """Whether what a sync returned can be about a store: it began after that, or failed after that had begun."""
    return sync.began > store.ended or (bool(sync.errno) and sync.ended > store.began)


def _rewritten(loss: _Loss) -> bool:
    later = [act for act in loss.past.stores_of(loss.finding) if act.began > loss.due.ended]
    if not later:
        return False
    return next((act.errno != 0 for act in loss.answers if _may_tell(act, later[-1])), True)


def _failed_zeroing(loss: _Loss) -> bool:
    changes = loss.past.alterations_of(loss.finding)
    return any(isinstance(act.record, ledger.Zeroed) and act.errno and act.began > loss.due.began for act in changes)


def _extended_at_once(loss: _Loss) -> bool:
    """The end moved past bytes that had been stored behind it and that no sync had written back in between."""
    if not isinstance(loss.due.record, ledger.Resize):
        return False
    stores = [act.ended for act in loss.past.stores_of(loss.finding) if act.began < loss.due.began]
    synced = (act for act in loss.past.syncs_of(loss.finding) if act.ended < loss.due.began)
    return bool(stores) and not any(act.began > stores[-1] for act in synced)


def _first_sync(loss: _Loss) -> bool:
    """No sync of a file was tried between the last sync of the whole filesystem, or the beginning, and the first proof."""
    if not loss.proofs or _kind(first := loss.proofs[0]) in _WHOLE:
        return False
    before = [act for act in loss.past.syncs if act.ended < first.began and _kind(act) != "sync_file_range"]
    return not before or _kind(before[-1]) in _WHOLE


CIRCUMSTANCES: Mapping[str, tuple[Callable[[_Loss], bool], str]] = {
    "told": (_told, "the first sync that covers the store and can tell returned an error"),
    "told-elsewhere": (
        _told_elsewhere,
        "that sync returned 0, but the same descriptor had told of an error of other pages",
    ),
    "not-asked": (_not_asked, "no call that can tell of an error covers the store"),
    "answered-success": (
        _answered_success,
        "the first sync that covers the store and can tell returned 0, nothing was told",
    ),
    "only-whole": (_only_whole, "of the calls that cover the store, only syncfs and sync(2) returned 0"),
    "after-an-error": (_after_an_error, "another call had returned an error before the last that returned 0"),
    "no-data": (_no_data, "the page held no data when it was stored to: a hole, unwritten, or freed since"),
    "freed": (_freed, "the page's block had been freed: punched, zeroed, or beyond an end"),
    "rewritten": (
        _rewritten,
        "a later store to the page was vouched for by nobody: no call covers it, or the first returned an error",
    ),
    "failed-zeroing": (_failed_zeroing, "zeroing the page's range failed after the store"),
    "extended-at-once": (_extended_at_once, "the file grew over bytes stored past its end, and nothing was synced then"),
    "first-sync": (
        _first_sync,
        "the first sync of a file since one of the whole filesystem vouches for the store",
    ),
}
"""Each circumstance, how it is seen in a ledger, and what it means. One of the first four holds for each loss of a page."""


class _Past:
    """What a ledger says was done, without the content."""

    def __init__(self, records: Iterable[Record], files: frozenset[int]) -> None:
        self.files: dict[int, ledger.File] = {}
        self.made: dict[int, _Act] = {}
        self.errors: list[int] = []
        self.notices: list[tuple[int, ledger.FsError]] = []
        self.syncs: list[_Act] = []
        self._page_bytes = 1
        self._stores: list[_Act] = []
        self._alterations: list[_Act] = []
        self._wanted = files
        self._began: dict[tuple[str, int], tuple[int, ledger.Store | ledger.Sync | ledger.Resize | ledger.Zeroed]] = {}
        for position, record in enumerate(records):
            self._take(position, record)
        for (_, _), (began, record) in self._began.items():
            self._keep(_Act(record, began, 2**63, None))
        self.syncs.sort(key=lambda act: act.ended)

    def _take(self, position: int, record: Record) -> None:
        match record:
            case ledger.Begin():
                self._page_bytes = record.page_bytes
            case ledger.File():
                self.files[record.file] = record
                self.made[record.file] = _Act(record, position, position, 0)
            case ledger.Store():
                self._began["store", record.worker] = position, record
            case ledger.Sync():
                self._began["sync", record.worker] = position, record
            case ledger.Resize() | ledger.Zeroed():
                self._began["alteration", record.worker] = position, record
            case ledger.Stored():
                self._end("store", record.worker, position, 0)
            case ledger.Synced():
                self._end("sync", record.worker, position, record.errno)
            case ledger.Altered():
                self._end("alteration", record.worker, position, record.errno)
            case ledger.FsError():
                self.errors.append(position)
                self.notices.append((position, record))
            case _:
                pass

    def _end(self, what: str, worker: int, position: int, errno: int) -> None:
        began, record = self._began.pop((what, worker))
        if errno:
            self.errors.append(position)
        self._keep(_Act(record, began, position, errno))

    def _keep(self, act: _Act) -> None:
        if isinstance(act.record, ledger.Sync):
            self.syncs.append(act)
        elif act.record.file in self._wanted:
            (self._stores if isinstance(act.record, ledger.Store) else self._alterations).append(act)

    def stores_of(self, finding: Finding) -> list[_Act]:
        """Stores to the first page of a finding."""
        return [act for act in self._stores if _covers(act.record, finding)]

    def syncs_of(self, finding: Finding) -> Iterator[_Act]:
        """Syncs of the first page of a finding."""
        return (act for act in self.syncs if _covers(act.record, finding))

    def alterations_of(self, finding: Finding) -> Iterator[_Act]:
        """Changes of size, and zeroings, that reach the first page of a finding."""
        byte = finding.first_page * self._page_bytes
        for act in self._alterations:
            record = act.record
            if isinstance(record, ledger.Resize):
                reaches = record.size_bytes < byte + self._page_bytes
            else:
                assert isinstance(record, ledger.Zeroed)
                end_byte = record.first_byte + record.length_bytes
                reaches = record.first_byte < byte + self._page_bytes and byte < end_byte
            if record.file == finding.file and reaches:
                yield act

    def act_at(self, position: int) -> _Act | None:
        """What began there."""
        acts = (*self._stores, *self._alterations)
        return next((act for act in acts if act.began == position), None)


def described(findings: Iterable[Finding], records: Sequence[Record]) -> list[Finding]:
    """The findings with the calls that covered what is due, and its circumstances; others, without pages, as they are."""
    findings = list(findings)
    files = frozenset(finding.file for finding in findings if finding.pages)
    if not files:
        return findings
    past = _Past(records, files)
    return [_described(finding, past) for finding in findings]


def _described(finding: Finding, past: _Past) -> Finding:
    due = past.made.get(finding.file) if finding.due is None else past.act_at(finding.due)
    if due is None or not finding.pages:
        return finding
    since = [act for act in past.syncs if _may_tell(act, due)]
    covering = [act for act in since if _covers(act.record, finding)]
    elsewhere = [act for act in since if act.errno and act not in covering and finding.file in _files(act.record)]
    loss = _Loss(finding, due, covering, elsewhere, past)
    held = tuple(name for name, (holds, _) in CIRCUMSTANCES.items() if holds(loss))
    return replace(finding, calls=tuple(_calls(loss)), circumstances=held)


def _calls(loss: _Loss) -> Iterator[Call]:
    """All of them in the order in which they returned; a notice of the filesystem is one too."""
    calls = [(act.ended, _call(act, elsewhere=False)) for act in loss.covering]
    calls += [(act.ended, _call(act, elsewhere=True)) for act in loss.elsewhere]
    notices = ((at, notice) for at, notice in loss.past.notices if at > loss.due.began)
    calls += [(at, Call("FAN_FS_ERROR", 0, _name(notice.errno), False)) for at, notice in notices]
    return (call for _, call in sorted(calls, key=lambda each: each[0]))


def _call(act: _Act, *, elsewhere: bool) -> Call:
    return Call(_kind(act), act.worker, _name(act.errno), elsewhere)


def _name(errno: int | None) -> str:
    return _NOT_RETURNED if errno is None else errorcode.get(errno, str(errno))


def _kind(act: _Act) -> str:
    return act.record.kind if isinstance(act.record, ledger.Sync) else ""


def _files(record: object) -> tuple[int, ...]:
    return record.files if isinstance(record, ledger.Sync) else ()


def _covers(record: object, finding: Finding) -> bool:
    """Whether a store or a sync reaches the first page of a finding."""
    match record:
        case ledger.Sync(files=files, first_page=first, pages=pages):
            return not files or (finding.file in files and (not pages or first <= finding.first_page < first + pages))
        case ledger.Store(file=file, first_page=first, pages=pages):
            return file == finding.file and first <= finding.first_page < first + pages
    return False

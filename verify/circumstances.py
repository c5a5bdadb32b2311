"""What the ledger says about a loss besides that it is one: which calls covered the store, what each returned, and under
which circumstances it was made. Facts only; whether they excuse anything is not said here. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from errno import errorcode

from verify import ledger
from verify.finding import Call, Finding
from verify.ledger import Record
from verify.past import Act, Past, covers, pages_with_data

_TELL_NOTHING = ("sync", "sync_file_range")
"""Their success says nothing: sync(2) returns no error, and sync_file_range promises nothing (BUGS and WARNING of their
pages)."""
_WHOLE = ("sync", "syncfs")
_NOT_RETURNED = "did not return"


@dataclass(frozen=True, slots=True)
class _Loss:
    """A finding on a page, and what was done to its file."""

    finding: Finding
    due: Act
    """What made the content that is due; the file itself, of what it held before the first store."""
    covering: Sequence[Act]
    """Syncs of the page that may tell of the loss, or vouch for the store, in the order in which they returned."""
    elsewhere: Sequence[Act]
    """Syncs of other pages of the file that returned an error since then."""
    past: Past

    @property
    def answers(self) -> list[Act]:
        """The covering syncs that returned and can tell, or did."""
        returned = (act for act in self.covering if act.errno is not None)
        return [act for act in returned if act.errno or _kind(act) not in _TELL_NOTHING]

    @property
    def was_told(self) -> bool:
        """Whether the first answer was an error."""
        return self.answers[:1] != [] and self.answers[0].errno != 0

    @property
    def was_told_elsewhere(self) -> bool:
        """Whether a worker that was answered 0 had been told of an error by a sync of other pages, or by one before."""
        asked = {act.worker: act.ended for act in reversed(self.answers)}
        return any(act.ended < asked.get(act.worker, 0) for act in self.elsewhere)

    @property
    def proofs(self) -> list[Act]:
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
    return page not in pages_with_data(file) or _freed(loss)


def _freed(loss: _Loss) -> bool:
    return any(act.began < loss.due.began and act.errno in (0, None) for act in loss.past.alterations_of(loss.finding))


def _may_tell(sync: Act, store: Act) -> bool:
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
    """Between the last sync of the whole filesystem, or the beginning, and the first proof, none was tried after a store
    to a page without a block."""
    if not loss.proofs or _kind(first := loss.proofs[0]) in _WHOLE:
        return False
    before = [act for act in loss.past.syncs if act.ended < first.began and _kind(act) != "sync_file_range"]
    since = max((act.ended for act in before if _kind(act) in _WHOLE), default=-1)
    latest = max((act.began for act in before if act.ended > since), default=-1)
    return not any(since < act.began < latest for act in loss.past.allocations)


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
        "the first sync of new blocks since one of the whole filesystem vouches for the store",
    ),
}
"""Each circumstance, how it is seen in a ledger, and what it means. One of the first four holds for each loss of a page."""


def described(findings: Iterable[Finding], records: Sequence[Record]) -> list[Finding]:
    """The findings with the calls that covered what is due, and its circumstances; others, without pages, as they are."""
    findings = list(findings)
    files = frozenset(finding.file for finding in findings if finding.pages)
    if not files:
        return findings
    past = Past(records, files)
    return [_described(finding, past) for finding in findings]


def _described(finding: Finding, past: Past) -> Finding:
    due = past.made.get(finding.file) if finding.due is None else past.act_at(finding.due)
    if due is None or not finding.pages:
        return finding
    since = [act for act in past.syncs if _may_tell(act, due)]
    covering = [act for act in since if covers(act.record, finding)]
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


def _call(act: Act, *, elsewhere: bool) -> Call:
    return Call(_kind(act), act.worker, _name(act.errno), elsewhere)


def _name(errno: int | None) -> str:
    return _NOT_RETURNED if errno is None else errorcode.get(errno, str(errno))


def _kind(act: Act) -> str:
    return act.record.kind if isinstance(act.record, ledger.Sync) else ""


def _files(record: object) -> tuple[int, ...]:
    return record.files if isinstance(record, ledger.Sync) else ()

"""What the checked crash states of a trial showed, stored so that they can be judged again offline.

One JSON line a state, written where the trial runs and read by `torture.judge`. The findings are those of the oracle
as of the state's mark: the syncs that the ledger says returned after it prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torture.crash.promised import promised
from torture.filesystems import Filesystem
from verify import checker, codec, ledger, observation, oracle
from verify.circumstances import described
from verify.descriptors import lines
from verify.finding import Finding, of_filesystem
from verify.ledger import Record
from verify.numbers import U64
from verify.observation import Observation

STATES = "states.jsonl"
_MOST_LINE_BYTES = 256 << 20
"""A line holds all that was seen of all files."""


@dataclass(frozen=True, slots=True)
class StateSeen:
    """A crash state that was mounted, checked and read."""

    label: str
    """Which one it is, in words."""
    position: U64
    """What it owes was acked by this position in the ledger."""
    unmountable: str
    """Why it would not mount, or ""."""
    inconsistent: str
    """What fsck complains about, or ""."""
    files: Mapping[int, tuple[Observation, ...]]
    """What was read, by file id."""

    def to_json(self) -> str:
        """One line."""
        lines = {file: tuple(observation.encode(seen).decode() for seen in looks) for file, looks in self.files.items()}
        return codec.encode(_Stored(self.label, self.position, self.unmountable, self.inconsistent, lines)) + "\n"

    @staticmethod
    def from_json(line: str | bytes) -> StateSeen:
        """The inverse of `to_json`. Raises verify.codec.Malformed."""
        it = codec.decode(_Stored, line)
        files = {file: tuple(observation.decode(look.encode()) for look in looks) for file, looks in it.files.items()}
        return StateSeen(it.label, it.position, it.unmountable, it.inconsistent, files)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A StateSeen as it is stored, its observations as the lines that verify.observation makes of them."""

    label: str
    position: U64
    unmountable: str
    inconsistent: str
    files: Mapping[int, tuple[str, ...]]


_CUT = (ledger.Swap("power lost"), ledger.Struck("replay", crash=True))


class AsOf:
    """Expectations as of positions of one ledger, for a power loss then."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self._position = -1
        self._expectations: oracle.Expectations | None = None

    def position(self, position: int) -> oracle.Expectations:
        """What must be there if the power went when `position` records had been written.

        Stores recorded later are allowed to show: their bytes may have been under way.
        """
        if self._expectations is None or position != self._position:
            records = (*self._records[:position], *_CUT, *self._records[position:])
            self._position, self._expectations = position, oracle.expectations(records)
        return self._expectations


def findings(seen: StateSeen, expected: oracle.Expectations, row: Filesystem | None = None) -> list[Finding]:
    """What is wrong with one state; each finding says in which. `row` is what the filesystem was found to promise; None:
    everything."""
    if seen.unmountable:
        found = [of_filesystem("unreadable", "sync", expected="mounts after the power loss", found=seen.unmountable)]
    else:
        found = checker.check(expected, seen.files, "cold")
    if seen.inconsistent:
        expected_words = "fsck is clean after the power loss and a mount"
        found.append(of_filesystem("fsck", "sync", expected=expected_words, found=seen.inconsistent))
    where = f" (power lost: {seen.label})"
    return [replace(finding, found=f"{finding.found}{where}") for finding in (promised(row, found) if row else found)]


def first_failure(directory: Path, records: Sequence[Record], row: Filesystem) -> list[Finding]:
    """The findings of the first state in `directory` that has any: it has the shortest prefix of the log."""
    expected = AsOf(records)
    for seen in read_states(directory / STATES):
        if found := findings(seen, expected.position(seen.position), row):
            return described(found, [*records[: seen.position], *_CUT, *map(_unasked, records[seen.position :])])
    return []


def _unasked(record: Record) -> Record:
    """What was asked for and answered once the power was gone says nothing about the state; positions stay as they are."""
    return ledger.Note("after the power loss") if isinstance(record, ledger.Sync | ledger.Synced) else record


def read_states(path: Path) -> Iterator[StateSeen]:
    """The states in the order in which they were checked; none if there is no such file. Raises ObservationError for a
    damaged file."""
    if not path.exists():
        return
    for number, line in enumerate(lines(path, _MOST_LINE_BYTES), 1):
        try:
            yield StateSeen.from_json(line)
        except ValueError as error:
            raise observation.ObservationError(f"{path}, line {number}: {error}") from error

"""The conformance table in plain text and as data. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torture.contract.clauses import CLAUSES
from torture.contract.verdict import ARMS, PINNED, ClauseVerdict, Entry, cell, exit_code
from torture.report.matrix import short_label

_ABREAST = 8
"""Filesystems side by side."""
_PASSING = (ClauseVerdict.holds, ClauseVerdict.notrun)


@dataclass(frozen=True, slots=True)
class Column:
    """What one kernel does on one filesystem. `kernel` is as the user named it, `release` as it names itself."""

    kernel: str
    release: str
    filesystem: str
    entries: tuple[Entry, ...]

    def text(self, clause: int) -> str:
        """The cell of a clause: one verdict, or two where the pin makes a difference."""
        found = cell(self.entries, clause)
        return f"{found.pinned}, {found.control} unpinned" if found.pin_matters else found.pinned.value


def render(columns: Sequence[Column]) -> str:
    """Tables, headline, and in words whatever is not simply `holds`."""
    kernels = list(dict.fromkeys(column.kernel for column in columns))
    filesystems = list(dict.fromkeys(column.filesystem for column in columns))
    if len(kernels) == 1:
        tables = [
            _matrix("clause", filesystems[first : first + _ABREAST], columns[first : first + _ABREAST])
            for first in range(0, len(filesystems), _ABREAST)
        ]
    else:
        tables = [
            _matrix(name, [short_label(kernel) for kernel in kernels], [one for one in columns if one.filesystem == name])
            for name in filesystems
        ]
    return "\n\n".join([*tables, *_headline(columns), *_words(columns)])


def _matrix(corner: str, headings: Sequence[str], columns: Sequence[Column]) -> str:
    rows = [[corner, *headings]]
    rows += [[f"{clause:2} {title}", *(column.text(clause) for column in columns)] for clause, title in CLAUSES.items()]
    widths = [max(map(len, texts)) for texts in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _headline(columns: Sequence[Column]) -> Iterator[str]:
    cells = ((column, clause, cell(column.entries, clause)) for column in columns for clause in CLAUSES)
    matters = [f"{_place(column)}: clause {clause}" for column, clause, found in cells if found.pin_matters]
    yield "\n".join(["The pin makes a difference:", *matters]) if matters else "The pin makes no difference anywhere."


def _place(column: Column) -> str:
    return f"{column.filesystem} on {short_label(column.kernel)} ({column.release})"


def _words(columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        alike: dict[tuple[int, str, ClauseVerdict, str, tuple[str, ...]], list[str]] = {}
        for entry in column.entries:
            if _is_told(entry, column):
                key = entry.clause, _arms(entry, column), entry.verdict, entry.words, entry.known
                alike.setdefault(key, []).append(entry.experiment)
        if alike:
            yield "\n".join([f"{_place(column)}:", *(_line(*key, names) for key, names in alike.items())])


def _twin(entry: Entry, column: Column) -> Entry:
    """The same experiment, pinned."""
    mine = (entry.clause, entry.experiment, PINNED)
    return next(other for other in column.entries if (other.clause, other.experiment, other.arm) == mine)


def _arms(entry: Entry, column: Column) -> str:
    agreed = [other.arm for other in column.entries if _agree(entry, other)]
    return "" if len(agreed) == len(ARMS) else f", pin {entry.arm}"


def _agree(one: Entry, other: Entry) -> bool:
    told = [(entry.clause, entry.experiment, entry.verdict, entry.words) for entry in (one, other)]
    return told[0] == told[1]


def _is_told(entry: Entry, column: Column) -> bool:
    """Everything remarkable; of two arms that agree only the pinned one; of a clause that ran, not what could not."""
    twin = _twin(entry, column)
    if entry is not twin and _agree(entry, twin):
        return False
    if entry.verdict is ClauseVerdict.notrun:
        return cell(column.entries, entry.clause).verdict is ClauseVerdict.notrun
    return entry.verdict not in _PASSING or twin.verdict not in _PASSING


def _line(clause: int, arms: str, verdict: ClauseVerdict, words: str, known: Sequence[str], names: Sequence[str]) -> str:
    return f"  {clause:2} {verdict}: {words} ({', '.join(names)}{arms}){'; known, '.join(('', *known))}"


def document(columns: Sequence[Column], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        **facts,
        "exit_code": exit_code(entry for column in columns for entry in column.entries),
        "clauses": CLAUSES,
        "columns": [
            {
                "kernel": column.kernel,
                "release": column.release,
                "filesystem": column.filesystem,
                "verdicts": {clause: asdict(cell(column.entries, clause)) for clause in CLAUSES},
                "experiments": [asdict(entry) for entry in column.entries],
            }
            for column in columns
        ],
    }

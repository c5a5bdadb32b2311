"""Known lists as TOML: those of the package, `torture/known/*.toml`, one file a filesystem, and those of users.

[[known]]
name = "ext2-full-late"               # small letters, digits and hyphens
filesystem = ["ext2", "ext2:*"]       # a dimension of torture.dimensions: a pattern, or some of which one must fit
fault = "enospc*"
kind = "late"                         # kind, expected and found are patterns too; promise is a word
circumstances = ["told", "no-data"]   # of verify.circumstances, all of them; "told|not-asked" is one of both
kernel = ">= 6.1, < 6.15"             # left out: any
fixed_by = "e856f93e0fb2 (6.15)"
reason = "no page_mkwrite of its own: a full filesystem is noticed by the sync"
section = "ext2-jfs-reiserfs"         # of docs/kernel-behaviour.md, the beginning of a heading's anchor
plan = "ext2-full.json"               # in torture/known/plans: it shows the finding
expires = "2027-12-31"
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, get_args

from torture.dimensions import DIMENSIONS
from torture.errors import BadRequest
from torture.plan import Plan
from torture.plan_check import read_plan
from torture.results.kernel_range import bounds
from torture.results.known import OR, Known
from verify import codec
from verify.circumstances import CIRCUMSTANCES
from verify.codec import Malformed, shown
from verify.descriptors import read_text
from verify.finding import FindingKind, Promise

PACKAGED = Path(__file__).parent.parent / "known"
_PLANS = PACKAGED / "plans"
_NEEDED = ("name", "reason", "expires")
_OWN = frozenset(each.name for each in fields(Known)) - {"values"}
_LISTED = frozenset({"kind", "expected", "found"})
"""Fields that may also be one text."""
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@cache
def packaged() -> tuple[Known, ...]:
    """The entries of the package."""
    return gathered(*(read_file(path) for path in sorted(PACKAGED.glob("*.toml"))))


def read_file(path: Path) -> tuple[Known, ...]:
    """The entries of a file that has nothing else. BadRequest says what is wrong with it."""
    try:
        raw = tomllib.loads(read_text(path))
        if raw.keys() - {"known"} or not isinstance(raw.get("known"), list):
            raise Malformed("it is no list of known findings", "allowed are tables [[known]]")
        return tuple(_numbered(number, table) for number, table in enumerate(raw["known"], 1))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise BadRequest(f"cannot read {path}: {error}", "give a file of [[known]] tables in TOML") from error
    except Malformed as error:
        raise BadRequest(f"{path}: {error.wrong}", error.allowed) from error


def _numbered(number: int, table: object) -> Known:
    try:
        return entry_from(table)
    except Malformed as error:
        raise error.within(f"known[{number}]") from None


def gathered(*lists: Iterable[Known]) -> tuple[Known, ...]:
    """The entries of all lists together. BadRequest if two have one name."""
    entries = tuple(entry for each in lists for entry in each)
    ((name, times),) = Counter(entry.name for entry in entries).most_common(1) or [("", 0)]
    if times > 1:
        raise BadRequest(f"the known list has {times} entries called {name}", "give each a name of its own")
    return entries


def named(entries: Sequence[Known], names: Sequence[str]) -> tuple[Known, ...]:
    """The entries that have these names; all if no name is given. BadRequest for a name that none has."""
    have = {entry.name: entry for entry in entries}
    if wrong := next((name for name in names if name not in have), None):
        raise BadRequest(f"there is no known finding {wrong!r}", f"allowed are {', '.join(have)}")
    return tuple(have[name] for name in names) or tuple(entries)


def plan_of(entry: Known) -> Plan:
    """The plan that shows it. BadRequest if it has none."""
    try:
        return read_plan((_PLANS / Path(entry.plan).name).read_bytes())
    except OSError as error:
        raise BadRequest(f"known finding {entry.name} has no plan: {error}", "an entry of the package has one") from error


def known_keys() -> frozenset[str]:
    """What an entry may say."""
    return _OWN | DIMENSIONS.keys()


def entry_from(table: object) -> Known:
    """An entry from a table of TOML, every field checked. Raises Malformed, whose place begins with the key."""
    if not isinstance(table, Mapping):
        raise Malformed(f"found {shown(str(table))}", "allowed is a table")
    if missing := next((key for key in _NEEDED if not table.get(key)), None):
        raise Malformed("is missing", "give a name, a reason and a day it expires", missing)
    own = {key: _plain(key, value) for key, value in table.items() if key not in DIMENSIONS}
    values = {key: _listed(value) for key, value in table.items() if key in DIMENSIONS}
    try:
        entry = codec.from_plain(Known, {**own, "values": values})
    except Malformed as error:
        wrong, allowed, place = error.args
        raise Malformed(wrong, allowed, place.removeprefix("values.")) from None
    for key, wrong, allowed in _wrong(entry):
        raise Malformed(wrong, allowed, key)
    return entry


def _plain(key: str, value: object) -> Any:
    return _listed(value) if key in _LISTED else str(value) if isinstance(value, date) else value


def _listed(value: object) -> Any:
    return list(filter(None, [value])) if isinstance(value, str) else value


def _wrong(entry: Known) -> Iterator[tuple[str, str, str]]:
    """Key, what is wrong, what is allowed."""
    if not _SLUG.fullmatch(entry.name):
        yield "name", f"{shown(entry.name)} is no name", "write small letters, digits and hyphens"
    try:
        bounds(entry.kernel)
    except ValueError as error:
        yield "kernel", str(error), 'write bounds, as ">= 6.1, < 6.15"'
    for key, patterns in {**entry.values, "kind": entry.kind, "promise": (entry.promise,)}.items():
        for pattern in patterns:
            if pattern and not can_match(key, pattern):
                allowed = f"allowed are {', '.join(known_values(key))}, and * for any text"
                yield key, f"{shown(pattern)} matches nothing there is", allowed
    for name in (name for wanted in entry.circumstances for name in wanted.split(OR)):
        if name not in CIRCUMSTANCES:
            yield "circumstances", f"{shown(name)} is unknown", f"allowed are {', '.join(CIRCUMSTANCES)}"


def known_values(key: str) -> tuple[str, ...]:
    """The values that a key of an entry can have; () if it may be any text."""
    if key in DIMENSIONS:
        return DIMENSIONS[key].values
    return {"kind": get_args(FindingKind), "promise": get_args(Promise)}.get(key, ())


def can_match(key: str, pattern: str) -> bool:
    """Whether `pattern` fits a value that there is, or, with a "+" in it, fits several faults one by one."""
    values = (*known_values(key), *(DIMENSIONS[key].composed if key in DIMENSIONS else ()))
    return (
        not values
        or any(fnmatchcase(value, pattern) for value in values)
        or ("+" in pattern and all(can_match(key, part) for part in pattern.split("+")))
    )

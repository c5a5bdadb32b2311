"""Campaign files: TOML, validated as a whole before anything starts, with line and key in every message.

seed = 1                             # default: drawn
lab = "uml"                          # or "qemu" (default if a kernel is a bzImage) or "local"
jobs = 2                             # default: the cores
on_finding = "/usr/local/bin/tell"   # started with the finding's directory

[budget]                             # whichever comes first; at least one
time = "8h"                          # s, m, h, d
trials = 10000
findings = 5                         # distinct ones
artefacts = "2G"                     # disk images of findings: K, M, G

[include]                            # left out: six filesystems in all configurations, and all else
fs = ["xfs", "ext4"]                 # "all" is every value, of these and of every other dimension:
pin = ["mlock"]                      # layout, access, sync, disturbance, background ("yes" or "no"), fault

[exclude]
access = ["read"]

[[kernel]]                           # left out: the packaged one
path = "./linux"
arguments = ["mutant=0"]

[[known]]                            # findings that are known besides those of the package, which do not count
name = "ext2-full"                   # torture/results/known_file.py says what an entry may say
filesystem = "ext2"
fault = "enospc"
kind = "late"
reason = "has no page_mkwrite of its own"
expires = "2027-12-31"
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torture.campaign.run_config import MOST_JOBS, RunConfig
from torture.dimensions import ALL, DIMENSIONS, Dimension
from torture.draw.request import Request, whole_space
from torture.errors import BadRequest
from torture.filesystems import CONFIGURED
from torture.lab.choose import LABS, KernelChoice, lab_for
from torture.results.known import Known
from torture.results.known_file import entry_from, gathered, known_keys
from verify import codec
from verify.codec import shown
from verify.descriptors import read_text

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_KEYS: Mapping[str, frozenset[str]] = {
    "": frozenset({"seed", "lab", "jobs", "on_finding", "budget", "include", "exclude", "kernel", "known"}),
    "budget": frozenset({"time", "trials", "findings", "artefacts"}),
    "kernel": frozenset({"path", "arguments"}),
}
_TABLES = ("budget", "include", "exclude")
_LISTS = ("kernel", "known")
_MOST_SHOWN = 200
"""Characters of what is wrong."""


@dataclass(frozen=True, slots=True)
class _File:
    """A parsed file and its text, to find the line of a key again."""

    path: Path
    text: str

    def wrong(self, table: str, key: str, what: str, allowed: str, entry: int = 1) -> BadRequest:
        """What is wrong with a key, with its line; `entry` counts the tables of that name."""
        line = self._line(table, key, entry)
        return BadRequest(f"{self.path}, line {line}, key {shown(key)}: {what[:_MOST_SHOWN]}", allowed)

    def _line(self, table: str, key: str, entry: int) -> int:
        """The line of a key; of its table if the key is not there; of the file's beginning if neither is."""
        inside, seen, heading_line = "", Counter[str](), 1
        for number, line in enumerate(self.text.splitlines(), 1):
            if heading := re.match(r"\s*\[+\s*([\w-]+)\s*\]+", line):
                inside = heading[1]
                seen[inside] += 1
                if inside == (table or key) and seen[inside] == entry:
                    heading_line = number
            elif inside == table and seen[inside] in (0, entry) and _is_key(line, key):
                return number
        return heading_line


def _is_key(line: str, key: str) -> bool:
    return re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line) is not None


def load(
    path: Path, *, results: Path, scratch: Path, draw_seed: Callable[[], int], known: tuple[Known, ...] = ()
) -> RunConfig:
    """The run config in a campaign file, with further entries of the known list. BadRequest for a file that cannot be read
    or says something wrong."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"cannot read {path}: {error}", "give a campaign file in TOML") from error
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits, and lists in lists in lists
        raise BadRequest(f"{path} is not TOML: {error}", "see examples/ for campaign files") from error
    file = _File(path, text)
    _check_keys(file, raw)
    kernels = _kernels(file, raw)
    return RunConfig(
        request=_request(file, raw, draw_seed),
        results=results,
        scratch=scratch,
        lab=_choice(file, raw, "lab", LABS, lab_for(*(kernel.path for kernel in kernels))),
        kernels=kernels,
        jobs=_whole(file, "", raw, "jobs", 1, MOST_JOBS),
        endless=True,
        on_finding=_text(file, "", raw, "on_finding"),
        known=gathered(known, _known(file, raw)),
        **_budget(file, raw.get("budget", {})),
    )


def check_same(path: Path, recorded: RunConfig) -> None:
    """BadRequest unless a campaign file says what is recorded of a run; any seed will do where it names none."""
    seed = recorded.request.seed
    said = load(path, results=recorded.results, scratch=recorded.scratch, draw_seed=lambda: seed)
    recorded = replace(recorded, known=recorded.known[len(recorded.known) - len(said.known) :])
    if wrong := [field.name for field in fields(RunConfig) if getattr(said, field.name) != getattr(recorded, field.name)]:
        raise BadRequest(
            f"{path} does not say what is recorded of the run: {', '.join(wrong)}", "give the file that it was started with"
        )


def _keys(table: str) -> frozenset[str]:
    """What may stand in a table; "" is the file."""
    match table:
        case "include" | "exclude":
            return frozenset(row.option for row in DIMENSIONS.values())
        case "known":
            return known_keys()
        case _:
            return _KEYS[table]


def _check_keys(file: _File, raw: dict[str, Any]) -> None:
    for key in raw:
        if key not in _KEYS[""]:
            raise file.wrong("", key, "unknown key", f"known are {', '.join(sorted(_KEYS['']))}")
    for table in (*_TABLES, *_LISTS):
        is_list = table in _LISTS
        entries = raw.get(table, [] if is_list else {})
        if not isinstance(entries, list if is_list else dict):
            raise file.wrong("", table, "is no table", f"write [{'[' * is_list}{table}{']' * is_list}]")
        for number, entry in enumerate(entries if is_list else [entries], 1):
            if not isinstance(entry, dict):
                raise file.wrong("", table, "is no table", f"write [[{table}]]")
            for key in entry:
                if key not in _keys(table):
                    known = ", ".join(sorted(_keys(table)))
                    raise file.wrong(table, key, f"unknown key in [{table}]", f"known are {known}", number)


def _request(file: _File, raw: dict[str, Any], draw_seed: Callable[[], int]) -> Request:
    defaults = replace(whole_space(), pairwise=False).having(filesystem=CONFIGURED)
    seed = _whole(file, "", raw, "seed", 0, 1 << 62)
    values = {}
    for name, row in DIMENSIONS.items():
        chosen = _chosen(file, raw, "include", row) or defaults[name]
        gone = _chosen(file, raw, "exclude", row)
        values[name] = tuple(value for value in chosen if value not in gone)
        if not values[name]:
            raise file.wrong("exclude", row.option, "nothing is left", "exclude fewer values")
    return replace(defaults, seed=draw_seed() if seed is None else seed, values=values)


def _chosen(file: _File, raw: dict[str, Any], table: str, row: Dimension) -> tuple[str, ...]:
    """The values that a table names, checked; canaries are run anyway, and are none."""
    try:
        chosen = row.choose(_words(file, table, raw.get(table, {}), row.option), ())
    except BadRequest as error:
        raise file.wrong(table, row.option, error.wrong, error.allowed) from error
    for value in (value for text in chosen for value in row.parts(text)):
        if value not in row.values:
            allowed = f"allowed are {', '.join(row.values)} and {ALL}"
            raise file.wrong(table, row.option, f"{row.noun} {value!r} is unknown", allowed)
    return chosen


def _words(file: _File, table: str, entries: dict[str, Any], key: str, entry: int = 1) -> tuple[str, ...]:
    value = entries.get(key, [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise file.wrong(table, key, "is no list of words", 'write ["one", "two"]', entry)
    return tuple(value)


def _text(file: _File, table: str, entries: dict[str, Any], key: str, entry: int = 1) -> str:
    value = entries.get(key, "")
    if not isinstance(value, str):
        raise file.wrong(table, key, f"{value!r} is no text", 'write "text"', entry)
    return value


def _choice(file: _File, raw: dict[str, Any], key: str, allowed: tuple[str, ...], default: str) -> str:
    value = _text(file, "", raw, key) or default
    if value not in allowed:
        raise file.wrong("", key, f"{value!r} is unknown", f"allowed are {', '.join(allowed)}")
    return value


def _whole(file: _File, table: str, entries: dict[str, Any], key: str, lowest: int, highest: int) -> int | None:
    value = entries.get(key)
    if value is not None and (type(value) is not int or not lowest <= value <= highest):
        raise file.wrong(table, key, f"{value!r} is out of range", f"allowed is {lowest} to {highest}")
    return value


def _measure(file: _File, entries: dict[str, Any], key: str, units: Mapping[str, int]) -> int | None:
    """A number with a unit, such as "8h"; None if the key is missing."""
    if key not in entries:
        return None
    found = re.fullmatch(r"([0-9]{1,9})([A-Za-z])", str(entries[key]))
    if not found or found[2] not in units or not int(found[1]):
        raise file.wrong("budget", key, f"{entries[key]!r} is no amount", f"write a number and {', '.join(units)}")
    return int(found[1]) * units[found[2]]


def _budget(file: _File, budget: dict[str, Any]) -> dict[str, Any]:
    limits = {
        "time_limit_s": _measure(file, budget, "time", _SECONDS),
        "most_trials": _whole(file, "budget", budget, "trials", 1, 1 << 31),
        "most_findings": _whole(file, "budget", budget, "findings", 1, 1 << 31),
    }
    if all(limit is None for limit in limits.values()):
        raise file.wrong("", "budget", "the campaign would never end", "give time, trials or findings in [budget]")
    return {**limits, "artefact_bytes": _measure(file, budget, "artefacts", _BYTES) or 0}


def _kernels(file: _File, raw: dict[str, Any]) -> tuple[KernelChoice, ...]:
    chosen = [
        KernelChoice(_text(file, "kernel", entry, "path", number), _words(file, "kernel", entry, "arguments", number))
        for number, entry in enumerate(raw.get("kernel", []), 1)
    ]
    return tuple(chosen) or (KernelChoice("", ()),)


def _known(file: _File, raw: dict[str, Any]) -> tuple[Known, ...]:
    return tuple(_known_entry(file, entry, number) for number, entry in enumerate(raw.get("known", []), 1))


def _known_entry(file: _File, entry: dict[str, Any], number: int) -> Known:
    try:
        return entry_from(entry)
    except codec.Malformed as error:
        key = re.split(r"[.\[]", error.place)[0]
        raise file.wrong("known", key, error.args[0], error.allowed, number) from error

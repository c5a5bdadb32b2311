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

[include]                            # left out: six filesystems, and the whole space of everything else
fs = ["xfs", "ext4"]                 # "all" is every value, of these and of every other dimension:
pin = ["mlock"]                      # layout, access, sync, disturbance, background ("yes" or "no"), fault

[exclude]
access = ["read"]

[[kernel]]                           # left out: the packaged one
path = "./linux"
arguments = ["mutant=0"]

[[known]]                            # findings that are known: told as such, and left alone
filesystem = "ext2"                  # also: layout, promise, pin, access, sync, background, disturbance, and
fault = "enospc"                     # parts of what was expected and found; left out is any (torture/known.py)
kind = "late"
reason = "has no page_mkwrite of its own"
expires = "2027-12-31"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from torture.campaign.run_config import Order
from torture.draw.combination import NO_DISTURBANCE
from torture.draw.request import BACKGROUNDS, Request, choose, choose_faults, whole_space
from torture.errors import BadRequest
from torture.faults import FAULTS
from torture.filesystems import FILESYSTEMS, USUAL
from torture.lab.choose import LABS, KernelChoice, lab_for
from torture.results.known import KEYS, Known
from workloads.access import ACCESSES
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS
from workloads.syncs import SYNCS

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_DIMENSIONS: Mapping[str, Mapping[str, object]] = {
    "fs": FILESYSTEMS,
    "layout": LAYOUTS,
    "pin": PINS,
    "access": ACCESSES,
    "sync": SYNCS,
    "disturbance": {NO_DISTURBANCE: None, **DISTURBANCES},
    "background": dict.fromkeys(BACKGROUNDS),
    "fault": {name: fault for name, fault in FAULTS.items() if not fault.canary},
}
_FIELDS = {
    "fs": "filesystems",
    "layout": "layouts",
    "pin": "pins",
    "access": "accesses",
    "sync": "syncs",
    "disturbance": "disturbances",
    "background": "backgrounds",
    "fault": "faults",
}
_KEYS: Mapping[str, frozenset[str]] = {
    "": frozenset({"seed", "lab", "jobs", "on_finding", "budget", "include", "exclude", "kernel", "known"}),
    "budget": frozenset({"time", "trials", "findings", "artefacts"}),
    "include": frozenset(_DIMENSIONS),
    "exclude": frozenset(_DIMENSIONS),
    "kernel": frozenset({"path", "arguments"}),
    "known": KEYS,
}


@dataclass(frozen=True, slots=True)
class _File:
    """A parsed file and its text, to find the line of a key again."""

    path: Path
    text: str

    def wrong(self, table: str, key: str, what: str, allowed: str) -> BadRequest:
        """What is wrong with a key, with its line."""
        return BadRequest(f"{self.path}, line {self._line(table, key)}, key {key!r}: {what}", allowed)

    def _line(self, table: str, key: str) -> int:
        inside = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            heading = re.match(r"\s*\[+\s*([\w-]+)\s*\]+", line)
            if heading:
                inside = heading[1]
                if inside == key and not table:
                    return number
            elif inside == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
        return 1


def load(path: Path, *, results: Path, scratch: Path, draw_seed: Callable[[], int]) -> Order:
    """The order in a campaign file. BadRequest for a file that cannot be read or says something wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"cannot read {path}: {error}", "give a campaign file in TOML") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"{path} is not TOML: {error}", "see examples/ for campaign files") from error
    file = _File(path, text)
    _check_keys(file, raw)
    kernels = _kernels(file, raw)
    return Order(
        request=_request(file, raw, draw_seed),
        results=results,
        scratch=scratch,
        lab=_choice(file, raw, "lab", LABS, lab_for(*(kernel.path for kernel in kernels))),
        kernels=kernels,
        jobs=_whole(file, "", raw, "jobs", 1, 64),
        endless=True,
        on_finding=_text(file, "", raw, "on_finding"),
        known=_known(file, raw),
        **_budget(file, raw.get("budget", {})),
    )


def _check_keys(file: _File, raw: dict[str, Any]) -> None:
    for key in raw:
        if key not in _KEYS[""]:
            raise file.wrong("", key, "unknown key", f"known are {', '.join(sorted(_KEYS['']))}")
    for table in ("budget", "include", "exclude", "kernel", "known"):
        many = table in ("kernel", "known")
        entries = raw.get(table, [] if many else {})
        if not isinstance(entries, list if many else dict):
            raise file.wrong("", table, "is no table", f"write [{'[' * many}{table}{']' * many}]")
        for entry in entries if many else [entries]:
            for key in entry:
                if key not in _KEYS[table]:
                    known = ", ".join(sorted(_KEYS[table]))
                    raise file.wrong(table, key, f"unknown key in [{table}]", f"known are {known}")


def _request(file: _File, raw: dict[str, Any], draw_seed: Callable[[], int]) -> Request:
    defaults = replace(whole_space(), filesystems=USUAL, pairwise=False)
    seed = _whole(file, "", raw, "seed", 0, 1 << 62)
    fields: dict[str, Any] = {}
    for dimension, known in _DIMENSIONS.items():
        default = getattr(defaults, _FIELDS[dimension])
        if dimension == "fault":
            default = tuple(spec.name for spec in default)
        given = _words(file, "include", raw.get("include", {}), dimension)
        out = _words(file, "exclude", raw.get("exclude", {}), dimension)
        try:
            chosen = choose_names(given, known, default)
            gone = choose_names(out, known, ())
        except BadRequest as error:
            where = "include" if dimension in raw.get("include", {}) else "exclude"
            raise file.wrong(where, dimension, error.wrong, error.allowed) from error
        left = tuple(value for value in chosen if value not in gone)
        if not left:
            raise file.wrong("exclude", dimension, "nothing is left", "exclude fewer values")
        fields[_FIELDS[dimension]] = choose_faults(left) if dimension == "fault" else left
    return replace(defaults, seed=draw_seed() if seed is None else seed, **fields)


def choose_names(given: tuple[str, ...], known: Mapping[str, object], default: tuple[str, ...]) -> tuple[str, ...]:
    """Values of a dimension; a fault may carry parameters after its name, and others with a `+`."""
    parts = (part for value in given for part in ([value] if value in known else value.split("+")))
    plain = tuple(part.partition(":")[0] if part not in known else part for part in parts)
    chosen = choose("value", plain, known, default)
    return chosen if "all" in given or not given else tuple(dict.fromkeys(given))


def _words(file: _File, table: str, entries: dict[str, Any], key: str) -> tuple[str, ...]:
    value = entries.get(key, [])
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise file.wrong(table, key, "is no list of words", 'write ["one", "two"]')
    return tuple(value)


def _text(file: _File, table: str, entries: dict[str, Any], key: str) -> str:
    value = entries.get(key, "")
    if not isinstance(value, str):
        raise file.wrong(table, key, f"{value!r} is no text", 'write "text"')
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
    found = re.fullmatch(r"(\d+)([A-Za-z])", str(entries[key]))
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
        KernelChoice(_text(file, "kernel", entry, "path"), _words(file, "kernel", entry, "arguments"))
        for entry in raw.get("kernel", [])
    ]
    return tuple(chosen) or (KernelChoice("", ()),)


def _known(file: _File, raw: dict[str, Any]) -> tuple[Known, ...]:
    return tuple(_known_entry(file, entry) for entry in raw.get("known", []))


def _known_entry(file: _File, entry: dict[str, Any]) -> Known:
    fields = {key: str(value) for key, value in entry.items()}
    for key in ("reason", "expires"):
        if not fields.get(key):
            raise file.wrong("", "known", f"a known finding has no {key}", "give a reason and a day it expires")
    try:
        date.fromisoformat(fields["expires"])
    except ValueError as error:
        raise file.wrong("known", "expires", f"{fields['expires']!r} is no day", "write YYYY-MM-DD") from error
    return Known(**fields)

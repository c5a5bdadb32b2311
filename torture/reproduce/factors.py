"""Which factors of a small failing plan matter: it is varied in one word at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torture.faults import FAULTS, fault_class
from torture.filesystems import filesystem
from torture.plan import FaultSpec, Plan
from torture.reproduce.shrinkers import LAYOUTS_BY_PLAINNESS, NOTHING, Step, with_word, words_of

_ALTERNATIVES: dict[str, tuple[str, ...]] = {
    "layout": tuple(name for name in LAYOUTS_BY_PLAINNESS if name in ("written", "hole", "unwritten", "reflinked")),
    "pin": ("none", "mlock", "mlock2-onfault", "map-locked"),
    "sync": ("msync", "fsync"),
    "access": ("store", "read"),
}
_NEEDS = {"unwritten": "unwritten", "reflinked": "reflink"}

Decide = Callable[[Plan], bool | None]


def variations(plan: Plan) -> Iterator[Step]:
    """The plan with one word changed for another, and without its fault."""
    for dimension, place, old in _places(plan):
        for new in _alternatives(plan, dimension, old):
            yield Step(new, with_word(plan, dimension, place, old, new))
    if plan.faults != (NOTHING,):
        yield Step("no fault", replace(plan, faults=(NOTHING,)))


def name_factors(plan: Plan, decide: Decide) -> list[str]:
    """One phrase for each factor, what is needed first."""
    needed: list[str] = []
    free: list[str] = []
    for dimension, place, old in _places(plan):
        words = _alternatives(plan, dimension, old)
        outcomes = {new: decide(with_word(plan, dimension, place, old, new)) for new in words}
        (free if all(outcomes.values()) else needed).append(_phrase(dimension, old, outcomes))
    fault = _fault(plan.faults)
    (free if plan.faults in ((), (NOTHING,)) else needed).append(fault)
    return list(dict.fromkeys([*needed, *_operations(plan), *_options(plan), *free]))


def _places(plan: Plan) -> Iterator[tuple[str, int, str]]:
    for place, file in enumerate(plan.files):
        yield "layout", place, file.layout
    for dimension in ("pin", "access", "sync"):
        for place in range(len(plan.workers)):
            for word in dict.fromkeys(words_of(plan, dimension, place)):
                yield dimension, place, word


def _alternatives(plan: Plan, dimension: str, old: str) -> list[str]:
    row = filesystem(plan.filesystem)
    return [word for word in _ALTERNATIVES[dimension] if word != old and (word not in _NEEDS or row.has(_NEEDS[word]))]


def _phrase(dimension: str, old: str, outcomes: dict[str, bool | None]) -> str:
    shows = [old, *(word for word, outcome in outcomes.items() if outcome)]
    not_shown = [word for word, outcome in outcomes.items() if outcome is False]
    if not not_shown:
        tried = [word for word, outcome in outcomes.items() if outcome]
        return f"any {_NAMES[dimension]}" if tried else f"{_NAMES[dimension]} {old}"
    if dimension == "pin" and "none" in not_shown:
        rest = [word for word in not_shown if word != "none"]
        also = f", not {_or(rest)}" if rest else ""
        return f"needs the pin: {_or(shows)} before the first store{also}"
    if len(shows) > len(not_shown):
        return f"any {_NAMES[dimension]} but {_or(not_shown)}"
    return f"needs {_NAMES[dimension]} {_or(shows)}, not {_or(not_shown)}"


_NAMES = {"layout": "layout", "pin": "pin", "sync": "sync", "access": "access path"}


def _fault(faults: Sequence[FaultSpec]) -> str:
    if tuple(faults) in ((), (NOTHING,)):
        return "no fault and no crash needed"
    named = " and ".join(f"{fault.name} ({FAULTS[fault.name].meaning})" for fault in faults)
    crash = "" if any(fault_class(fault.name).crash for fault in faults) else "; no crash needed"
    return f"needs the fault {named}{crash}"


def _operations(plan: Plan) -> Iterator[str]:
    """The operations that are left, none of which can be left out; a second store to the same pages is named."""
    for worker in plan.workers:
        done = ", ".join(f"{op.kind} {op.name}".strip() for op in worker.ops)
        yield f"needs {'this operation' if len(worker.ops) == 1 else 'these operations in this order'}: {done}"
        stores = [place for place, op in enumerate(worker.ops) if op.kind == "store"]
        between = [op.kind for op in worker.ops[stores[0] + 1 : stores[-1]]] if stores else []
        if set(between) - {"store"}:
            yield "needs the re-store: the pages are stored to again after a writeback"
    pages = sum(worker.pages for worker in plan.workers)
    yield "one page is enough" if pages == 1 else f"needs {pages} pages"
    if len(plan.workers) > 1:
        yield f"needs {len(plan.workers)} workers on {len(plan.files)} file{'s' if len(plan.files) > 1 else ''}"


def _options(plan: Plan) -> Iterator[str]:
    if plan.mkfs_options:
        yield f"needs the mkfs options {' '.join(plan.mkfs_options)}"
    if plan.mount_options:
        yield f"needs the mount options {','.join(plan.mount_options)}"


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

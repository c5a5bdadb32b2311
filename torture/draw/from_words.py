"""A plan from words: for a corruption that somebody reported, and that no run of this tool has seen yet. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torture.errors import BadRequest
from torture.plan import FaultSpec, FilePlan, Plan
from workloads.disturbances import DISTURBANCES
from workloads.plan import Op, WorkerPlan
from workloads.syncs import SYNCS

GATE = "gate"


@dataclass(frozen=True, slots=True)
class Words:
    """One plan's values, checked by whoever read them; `ops` as `operations` reads them."""

    filesystem: str
    layouts: Sequence[str]
    pins: Sequence[str]
    access: str
    faults: tuple[FaultSpec, ...]
    ops: str
    pages: int
    seed: int
    mkfs_options: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()


def operations(text: str, first_page: int, pages: int) -> tuple[Op, ...]:
    """Operations in order, separated by commas: "store", "store 2", "store 0+3", "sync NAME", "gate NAME", or a
    disturbance by its name. Pages count from the worker's first; no page is all of them."""
    ops = tuple(_operation(word.split(), first_page, pages) for word in text.split(",") if word.strip())
    if not any(op.kind == "store" for op in ops):
        raise BadRequest(f"--ops {text!r} stores nothing", 'write something like "store,sync msync"')
    return ops


def _operation(words: list[str], first_page: int, pages: int) -> Op:
    kind, rest = words[0], words[1:]
    if kind == "store" and len(rest) <= 1:
        return _store(rest[0] if rest else f"0+{pages}", first_page, pages)
    if kind == "sync" and len(rest) == 1 and rest[0] in SYNCS:
        return Op("sync", name=rest[0])
    if kind == GATE and len(rest) == 1:
        return Op(GATE, name=rest[0])
    if kind in DISTURBANCES and not rest:
        return Op(kind)
    raise BadRequest(
        f"operation {' '.join(words)!r} is unknown",
        f"allowed are store [PAGE[+PAGES]], sync NAME ({', '.join(SYNCS)}), gate NAME and {', '.join(DISTURBANCES)}",
    )


def _store(where: str, first_page: int, pages: int) -> Op:
    start, _, length = where.partition("+")
    if not start.isdigit() or not (length or "1").isdigit():
        raise BadRequest(f"store {where!r} names no pages", "write PAGE or PAGE+PAGES")
    page, many = int(start), int(length or 1)
    if many < 1 or page + many > pages:
        raise BadRequest(f"store {where!r} is outside the worker's pages", f"it has pages 0 to {pages - 1}")
    return Op("store", first_page + page, many)


def build(words: Words) -> Plan:
    """A file for each layout, with a worker for each pin, `pages` pages each."""
    files = tuple(
        FilePlan(number, f"{number}-{layout}", layout, words.pages * len(words.pins))
        for number, layout in enumerate(words.layouts, 1)
    )
    placed = [(file, place, pin) for file in files for place, pin in enumerate(words.pins)]
    return Plan(
        seed=words.seed,
        filesystem=words.filesystem,
        files=files,
        workers=tuple(_worker(number, words, *each) for number, each in enumerate(placed, 1)),
        faults=words.faults,
        mkfs_options=words.mkfs_options,
        mount_options=words.mount_options,
    )


def _worker(number: int, words: Words, file: FilePlan, place: int, pin: str) -> WorkerPlan:
    first_page = place * words.pages
    ops = operations(words.ops, first_page, words.pages)
    return WorkerPlan(number, file.file, file.name, first_page, words.pages, pin, words.access, ops)

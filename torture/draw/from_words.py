"""A plan from words: for a corruption that somebody reported, and that no run of this tool has seen yet. Pure."""

from __future__ import annotations

from itertools import product

from torture.dimensions import DIMENSIONS, NO_DISTURBANCE, NO_SYNC, Scope
from torture.draw.assemble import assemble
from torture.draw.combination import Combination
from torture.draw.request import Request
from torture.errors import BadRequest
from torture.faults import parts
from torture.plan import Plan
from workloads.disturbances import DISTURBANCES
from workloads.plan import Op
from workloads.syncs import SYNCS

GATE = "gate"


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
    if not start.isdecimal() or not (length or "1").isdecimal():
        raise BadRequest(f"store {where!r} names no pages", "write PAGE or PAGE+PAGES")
    page, many = int(start), int(length or 1)
    if many < 1 or page + many > pages:
        raise BadRequest(f"store {where!r} is outside the worker's pages", f"it has pages 0 to {pages - 1}")
    return Op("store", first_page + page, many)


def build(request: Request, text: str = "") -> Plan:
    """A plan of `pages` pages for each worker, under all faults of the request at once.

    It has a file for each layout, with a worker for each pin, and for each of further values of workers. Each worker does
    what `text` says, or else stores, syncs, stores and syncs. BadRequest for a layout whose worker must be alone
    and is not; who must be alone because of `text` is for torture.plan_check.
    """
    if text:
        ops = operations(text, 0, request.pages)
        request = request.having(sync=(next((op.name for op in ops if op.kind == "sync"), NO_SYNC),))

    def ops_of(first_page: int, combination: Combination) -> tuple[Op, ...]:
        sync = combination["sync"]
        return operations(text or f"store,sync {sync},store,sync {sync}", first_page, request.pages)

    first = Combination({name: request[name][0] for name in DIMENSIONS}).having(disturbance=NO_DISTURBANCE)
    rows = [_products(request, row, Scope.worker) for row in _products(request, first, Scope.file)]
    if crowded := [row[0]["layout"] for row in rows if len(row) > 1 and row[0].is_alone]:
        raise BadRequest(f"layout {crowded[0]} is for a file of one worker", "give one --pin, so that it is alone")
    faults = tuple(part for fault in request.faults for part in parts(fault))
    return assemble(request, faults, request.seed, rows, ops_of)


def _products(request: Request, combination: Combination, scope: Scope) -> list[Combination]:
    """The combination with every value of those dimensions of a scope whose values are no operations of their own."""
    names = [name for name, row in DIMENSIONS.items() if row.scope is scope and row.put]
    chosen = product(*(request[name] for name in names))
    return [combination.having(**dict(zip(names, values, strict=True))) for values in chosen]

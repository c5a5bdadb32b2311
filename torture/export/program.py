"""Writes the C program for a plan: the pieces that the plan needs, and one function for each worker. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from textwrap import wrap

from torture.export.c_snippets import ACCESSES, DISTURBANCES, PINS, SYNCS, functions
from torture.export.exportable import Exportable, title
from torture.export.files import ALTERNATIONS, FILES
from torture.export.quoting import C, Code, Value, blocks, joined, sections, template
from torture.plan import FilePlan
from torture.report.words import first_line
from verify.printable import printable
from workloads.plan import Op, WorkerPlan

_COMMENT_COLUMNS = 76
_CRASHES = "What was stored after the last sync before the fault may be lost; everything else must be there."

_ROW = Code("\t{ @NAME@, @FILE@, @PAGES@, @SIZE@, @WRITTEN@, @STRIDE@, @MAY_STORE@ },")

_PIECES = sections("pieces.c.in")
_OPEN = Code("m.fd = opened(&m);\nm.other_fd = opened(&m);")


def write_program(exportable: Exportable, name: str, used_by: str) -> Code:
    """The whole program. `used_by` is the script that gives it its steps."""
    plan = exportable.plan
    rows, snippets = list(_rows(exportable)), list(_snippets(exportable))
    called = _each_once(map(functions, snippets))
    laid_out = joined(_laid_out(row, file).indented() for row, file in _numbered(exportable))
    return C.render(
        template("program.c.in"),
        ABOUT=C.comment(_about(exportable, name, used_by)),
        PAGE=plan.page_bytes,
        PAGES=max(file.pages for file in plan.files),
        STORES=max(1, *(sum(op.kind == "store" for op in worker.ops) for worker in plan.workers)),
        WORKERS=len(plan.workers),
        FILES=len(rows),
        CRASHES=exportable.crashes,
        LATE=exportable.late_counts,
        TABLE=joined(rows),
        writes_base="write_base(" in laid_out,
        writes_stale="write_stale(" in laid_out,
        full=exportable.free_blocks is not None,
        FREE=exportable.free_blocks,
        log=exportable.needs_log,
        clones="clone" in laid_out,
        LAID_OUT=laid_out,
        stores=any(op.kind == "store" for worker in plan.workers for op in worker.ops),
        PUT_FUNCTIONS=blocks(_each_once(ACCESSES[worker.access].functions for worker in plan.workers)),
        answers=any("answer(" in snippet for snippet in snippets),
        gated=exportable.gated,
        functions=bool(called),
        FUNCTIONS=blocks(called),
        WORKER_FUNCTIONS=blocks(_worker(exportable, number, worker) for number, worker in enumerate(plan.workers)),
        WORKER_NAMES=joined((C.render(Code("worker_@WORKER@"), WORKER=worker.worker) for worker in plan.workers), ", "),
        MEMLOCK=plan.memlock_bytes if plan.memlock_bytes >= 0 else Code("RLIM_INFINITY"),
        USED_BY=used_by,
    )


def comment(exportable: Exportable) -> list[str]:
    """What the program is about, as lines of at most 76 columns, for any kind of comment."""
    paragraphs = [title(exportable.plan, exportable.finding), f"The promise: {exportable.promise}"]
    if exportable.crashes:
        paragraphs.append(_CRASHES)
    if finding := exportable.finding:
        paragraphs.append(f"Seen: expected {finding.expected}, found {first_line(finding.found)}; {finding.told}.")
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += [*wrap(printable(paragraph), _COMMENT_COLUMNS), ""]
    return lines[:-1]


def _about(exportable: Exportable, name: str, used_by: str) -> list[str]:
    return [
        f"{name}.c, driven by {used_by}, which describes the steps.",
        "",
        *comment(exportable),
        "",
        "Exit status: 1 reproduced, 0 not reproduced, 2 could not run.",
    ]


# -- files ---------------------------------------------------------------------------------------------------------


def _rows(exportable: Exportable) -> Iterator[Code]:
    for file in exportable.plan.files:
        text = FILES[file.layout]
        content: dict[str, Value] = {
            "FILE": file.file,
            "PAGES": file.pages,
            "SIZE": C.render(text.size, PAGES=file.pages),
            "WRITTEN": C.render(text.written, PAGES=file.pages),
            "STRIDE": max(1, file.pages // ALTERNATIONS) if text.alternates else 0,
        }
        yield C.render(_ROW, NAME=file.name, MAY_STORE=True, **content)
        if text.cloned:
            yield C.render(_ROW, NAME=f"{file.name}.clone", MAY_STORE=False, **content)


def _numbered(exportable: Exportable) -> Iterator[tuple[int, FilePlan]]:
    """Each file that is laid out, with its index in the table."""
    row = 0
    for file in exportable.plan.files:
        yield row, file
        row += 2 if FILES[file.layout].cloned else 1


def _laid_out(row: int, file: FilePlan) -> Code:
    lines = C.render(FILES[file.layout].lines, ROW=row, PAGES=file.pages)
    about = C.remark(f"file {file.file}: {file.layout}")
    return C.render(_PIECES["laid_out"], ABOUT=about, ROW=row, LINES=lines)


# -- workers -------------------------------------------------------------------------------------------------------


def _snippets(exportable: Exportable) -> Iterator[Code]:
    """What the workers do, but for the stores."""
    for worker in exportable.plan.workers:
        yield PINS[worker.pin]
        yield from (_snippet(op) for op in worker.ops if op.kind != "store")


def _snippet(op: Op) -> Code:
    return SYNCS[op.name] if op.kind == "sync" else DISTURBANCES[op.kind]


def _worker(exportable: Exportable, number: int, worker: WorkerPlan) -> Code:
    last = worker.first_page + worker.pages - 1
    pages = f"file {worker.file}, pages {worker.first_page} to {last}"
    return C.render(
        _PIECES["worker"],
        ABOUT=C.remark(f"Worker {worker.worker}: {pages}, pin {worker.pin}, access path {worker.access}."),
        WORKER=worker.worker,
        INDEX=number,
        ROW=next(row for row, file in _numbered(exportable) if file.file == worker.file),
        FIRST=worker.first_page,
        PAGES=worker.pages,
        other=ACCESSES[worker.access].target == "other",
        OPEN=_OPEN.indented(),
        PIN=PINS[worker.pin].indented(),
        STEPS=joined(step.indented() for op in worker.ops if (step := _step(worker, op))),
    )


def _each_once(pieces: Iterable[Iterable[Code]]) -> dict[Code, None]:
    return dict.fromkeys(chain.from_iterable(pieces))


def _step(worker: WorkerPlan, op: Op) -> Code:
    steps = ACCESSES[worker.access].store if op.kind == "store" else _snippet(op)
    first, length = (op.first_page, op.pages) if op.pages else (worker.first_page, worker.pages)
    return C.render(steps, FIRST=first, LENGTH=length, OPEN=_OPEN, PIN=PINS[worker.pin])

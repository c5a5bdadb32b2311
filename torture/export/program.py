"""Writes the C program for a plan: the pieces that the plan needs, and one function for each worker. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent, wrap

from torture.export import c_templates, c_templates_check, c_templates_workers
from torture.export.c_snippets import ACCESSES, DISTURBANCES, PINS, SYNCS, AccessSnippet, Snippet
from torture.export.exportable import Exportable
from torture.export.files import FILES, FileText
from workloads.plan import Op, WorkerPlan

_COMMENT_COLUMNS = 76
_OPEN = "m.fd = opened(&m);", "m.other_fd = opened(&m);"
_REPLAY_STEP = """\
	if (!strcmp(step, "replay") && count == 5) {
		replay(words[3], words[4]);
		return FINE;
	}
"""
_CRASHES = "What was stored after the last sync before the fault may be lost; everything else must be there."


def write_program(exportable: Exportable, name: str, used_by: str) -> str:
    """The whole program. `used_by` is the script that gives it its steps."""
    stores = any(op.kind == "store" for worker in exportable.plan.workers for op in worker.ops)
    answers = any("answer(" in line for snippet in _snippets(exportable) for line in snippet.lines)
    parts = [
        _head(exportable, name, used_by),
        c_templates.HEAD,
        c_templates.LAY_OUT,
        *_if(c_templates.WRITE_BASE, "write_base(", _laid_out(exportable)),
        *_if(c_templates.WRITE_STALE, "write_stale(", _laid_out(exportable)),
        *([c_templates.FILL] if exportable.free_blocks is not None else []),
        *([c_templates.REPLAY] if exportable.needs_log else []),
        _laid_out(exportable),
        c_templates_workers.WORK,
        *([_STORING, *_access_code(exportable), c_templates_workers.STORE] if stores else []),
        *([c_templates_workers.SYNC] if answers else []),
        *([c_templates_workers.GATE] if exportable.gated else []),
        *dict.fromkeys(snippet.code for snippet in _snippets(exportable) if snippet.code),
        *(_worker(exportable, number) for number in range(len(exportable.plan.workers))),
        c_templates_workers.RUN,
        c_templates_check.CHECK,
        c_templates_check.MAIN,
    ]
    return _filled("\n".join(part.strip("\n") + "\n" for part in parts), exportable, used_by)


_STORING = """
/* A way to get bytes into a mapping; false if the page was refused. */
typedef bool (*put_function)(char *to, const char *from, size_t bytes);
"""


def comment(exportable: Exportable) -> list[str]:
    """What the program is about, as lines of at most 76 columns, for any kind of comment."""
    paragraphs = [exportable.title, f"The promise: {exportable.promise}"]
    if exportable.crashes:
        paragraphs.append(_CRASHES)
    if exportable.finding:
        found = exportable.finding.found.splitlines()[0] if exportable.finding.found else "nothing"
        reported = exportable.finding.reported
        report = f"The sync had said {reported.split(' ')[-1]}." if reported else "Nobody was told."
        paragraphs.append(f"Seen: expected {exportable.finding.expected}, found {found}. {report}")
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += [*wrap(paragraph, _COMMENT_COLUMNS), ""]
    return lines[:-1]


def _head(exportable: Exportable, name: str, used_by: str) -> str:
    text = [
        f"{name}.c, driven by {used_by}, which describes the steps.",
        "",
        *comment(exportable),
        "",
        "Exit status: 1 reproduced, 0 not reproduced, 2 could not run.",
    ]
    return "\n".join(["// SPDX-License-Identifier: GPL-2.0", "/*", *(f" * {line}".rstrip() for line in text), " */"])


def _if(part: str, name: str, text: str) -> list[str]:
    return [part] if name in text else []


def _filled(text: str, exportable: Exportable, used_by: str) -> str:
    plan = exportable.plan
    rows = list(_rows(exportable))
    values = {
        "PAGE": plan.page_bytes,
        "PAGES": max(file.pages for file in plan.files),
        "STORES": max([1, *(_most_stores(worker) for worker in plan.workers)]),
        "WORKERS": len(plan.workers),
        "FILES": len(rows),
        "CRASHES": str(exportable.crashes).lower(),
        "LATE": str(exportable.late_counts).lower(),
        "TABLE": "\n".join(f"\t{{ {row} }}," for row in rows),
        "WORKER_NAMES": ", ".join(f"worker_{worker.worker}" for worker in plan.workers),
        "MEMLOCK": plan.memlock_bytes if plan.memlock_bytes >= 0 else "RLIM_INFINITY",
        "REPLAY": _REPLAY_STEP if exportable.needs_log else "",
        "USED_BY": f"see {used_by}",
    }
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def _most_stores(worker: WorkerPlan) -> int:
    return sum(op.kind == "store" for op in worker.ops)


# -- files ---------------------------------------------------------------------------------------------------------


def _rows(exportable: Exportable) -> Iterator[str]:
    for file in exportable.plan.files:
        text = FILES[file.layout](file)
        content = f"{file.file}, {file.pages}, {text.size}, {text.written}, {text.stride}"
        yield f'"{file.name}", {content}, true'
        if text.cloned:
            yield f'"{file.name}.clone", {content}, false'


def _texts(exportable: Exportable) -> Iterator[tuple[int, int, FileText]]:
    """Index in the table, number of the file, and text of each file that is laid out."""
    row = 0
    for file in exportable.plan.files:
        text = FILES[file.layout](file)
        yield row, file.file, text
        row += 2 if text.cloned else 1


def row_of(exportable: Exportable, number: int) -> int:
    """The index in the table of the file that a plan numbers so."""
    return next(row for row, file, _ in _texts(exportable) if file == number)


def _laid_out(exportable: Exportable) -> str:
    lines = ["", "static void lay_out(void)", "{"]
    texts = list(_texts(exportable))
    lines.append("\tint fd, clone;" if any(text.cloned for _, _, text in texts) else "\tint fd;")
    layouts = {file.file: file.layout for file in exportable.plan.files}
    for row, number, text in texts:
        lines += ["", f"\t/* file {number}: {layouts[number]} */", f"\tfd = create(files[{row}].name);"]
        lines += [f"\t{line.format(row=row)}" for line in text.lines]
        lines += ["\tfinish(fd);"]
    lines += ["", "\tfor (int file = 0; file < FILES; file++)", "\t\tstate->size[file] = files[file].size;"]
    lines += ['\tfd = open(".", O_RDONLY | O_DIRECTORY);', '\tmust(!syncfs(fd) && !close(fd), "syncfs");']
    if exportable.free_blocks is not None:
        lines.append(f"\tfill({exportable.free_blocks});")
    return "\n".join([*lines, "}"])


# -- workers -------------------------------------------------------------------------------------------------------


def _snippets(exportable: Exportable) -> Iterator[Snippet]:
    """What the workers do, but for the stores."""
    for worker in exportable.plan.workers:
        yield PINS[worker.pin]
        for op in worker.ops:
            if op.kind != "store":
                yield _snippet(op)


def _snippet(op: Op) -> Snippet:
    return SYNCS[op.name] if op.kind == "sync" else DISTURBANCES[op.kind]


def _access_code(exportable: Exportable) -> Iterator[str]:
    """Each way to store once; some share the function that holds the content."""
    seen: set[str] = set()
    for code in dict.fromkeys(ACCESSES[worker.access].code for worker in exportable.plan.workers):
        for function in code.split("\n}\n"):
            if function.strip() and function not in seen:
                seen.add(function)
                yield f"{function}\n}}\n"


def _worker(exportable: Exportable, number: int) -> str:
    worker = exportable.plan.workers[number]
    access = ACCESSES[worker.access]
    place = f"{number}, {row_of(exportable, worker.file)}, -1, -1, {worker.first_page}, {worker.pages}, 0, NULL"
    pages = f"pages {worker.first_page} to {worker.first_page + worker.pages - 1}"
    about = f"Worker {worker.worker}: file {worker.file}, {pages}, pin {worker.pin}, access path {worker.access}."
    pin = "\n".join(PINS[worker.pin].lines)
    lines = [f"struct mapping m = {{ {place} }};"]
    lines += ["struct mapping other;"] if access.target == "other" else []
    lines += ["", *_OPEN, pin]
    if access.target == "other":
        lines += ["other = m;", "other.fd = opened(&m);", "map(&other, 0);\t/* not pinned */"]
    lines.append("")
    for op in worker.ops:
        lines += _steps(worker, op, access, pin)
    return "\n".join(
        [f"\n/* {about} */", f"static void worker_{worker.worker}(void)", "{", indent("\n".join(lines), "\t"), "}"]
    )


def _steps(worker: WorkerPlan, op: Op, access: AccessSnippet, pin: str) -> list[str]:
    first, pages = (op.first_page, op.pages) if op.pages else (worker.first_page, worker.pages)
    if op.kind == "store":
        return [f"store(&{access.target}, {first}, {pages}, {access.name}, {access.reach[0]}, {access.reach[1]});"]
    words = {"first": first, "pages": pages, "open": "\n".join(_OPEN), "pin": pin}
    return [line % words for line in _snippet(op).lines]

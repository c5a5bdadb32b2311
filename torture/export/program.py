"""Writes the C program of a recipe: the pieces that its plan needs, one function for each worker. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent, wrap

from torture.export import c_templates, c_templates_check, c_templates_workers
from torture.export.c_snippets import DISTURBANCES, PINS, PUTS, SYNCS, Call, Put
from torture.export.exportable import Recipe
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


def write_program(recipe: Recipe, name: str, used_by: str) -> str:
    """The whole program. `used_by` is the script that gives it its steps."""
    stores = any(op.kind == "store" for worker in recipe.plan.workers for op in worker.ops)
    answers = any("answer(" in line for call in _calls(recipe) for line in call.lines)
    parts = [
        _head(recipe, name, used_by),
        c_templates.HEAD,
        c_templates.LAY_OUT,
        *_if(c_templates.WRITE_BASE, "write_base(", _laid_out(recipe)),
        *_if(c_templates.WRITE_STALE, "write_stale(", _laid_out(recipe)),
        *([c_templates.FILL] if recipe.free_blocks is not None else []),
        *([c_templates.REPLAY] if recipe.needs_log else []),
        _laid_out(recipe),
        c_templates_workers.WORK,
        *([_STORING, *_put_code(recipe), c_templates_workers.STORE] if stores else []),
        *([c_templates_workers.SYNC] if answers else []),
        *([c_templates_workers.GATE] if recipe.gated else []),
        *dict.fromkeys(call.code for call in _calls(recipe) if call.code),
        *(_worker(recipe, number) for number in range(len(recipe.plan.workers))),
        c_templates_workers.RUN,
        c_templates_check.CHECK,
        c_templates_check.MAIN,
    ]
    return _filled("\n".join(part.strip("\n") + "\n" for part in parts), recipe, used_by)


_STORING = """
/* A way to get bytes into a mapping; false if the page was refused. */
typedef bool (*put_function)(char *to, const char *from, size_t bytes);
"""


def comment(recipe: Recipe) -> list[str]:
    """What the program is about, as lines of at most 76 columns, for any kind of comment."""
    paragraphs = [recipe.title, f"The promise: {recipe.promise}"]
    if recipe.crashes:
        paragraphs.append(_CRASHES)
    if recipe.finding:
        found = recipe.finding.found.splitlines()[0] if recipe.finding.found else "nothing"
        reported = recipe.finding.reported
        told = f"The sync had said {reported.split(' ')[-1]}." if reported else "Nobody was told."
        paragraphs.append(f"Seen: expected {recipe.finding.expected}, found {found}. {told}")
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += [*wrap(paragraph, _COMMENT_COLUMNS), ""]
    return lines[:-1]


def _head(recipe: Recipe, name: str, used_by: str) -> str:
    text = [
        f"{name}.c, driven by {used_by}, which describes the steps.",
        "",
        *comment(recipe),
        "",
        "Exit status: 1 reproduced, 0 not reproduced, 2 could not run.",
    ]
    return "\n".join(["// SPDX-License-Identifier: GPL-2.0", "/*", *(f" * {line}".rstrip() for line in text), " */"])


def _if(part: str, name: str, text: str) -> list[str]:
    return [part] if name in text else []


def _filled(text: str, recipe: Recipe, used_by: str) -> str:
    plan = recipe.plan
    rows = list(_rows(recipe))
    values = {
        "PAGE": plan.page_bytes,
        "PAGES": max(file.pages for file in plan.files),
        "STORES": max([1, *(_most_stores(worker) for worker in plan.workers)]),
        "WORKERS": len(plan.workers),
        "FILES": len(rows),
        "CRASHES": str(recipe.crashes).lower(),
        "LATE": str(recipe.late_counts).lower(),
        "TABLE": "\n".join(f"\t{{ {row} }}," for row in rows),
        "WORKER_NAMES": ", ".join(f"worker_{worker.worker}" for worker in plan.workers),
        "MEMLOCK": plan.memlock_bytes if plan.memlock_bytes >= 0 else "RLIM_INFINITY",
        "REPLAY": _REPLAY_STEP if recipe.needs_log else "",
        "USED_BY": f"see {used_by}",
    }
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


def _most_stores(worker: WorkerPlan) -> int:
    return sum(op.kind == "store" for op in worker.ops)


# -- files ---------------------------------------------------------------------------------------------------------


def _rows(recipe: Recipe) -> Iterator[str]:
    for file in recipe.plan.files:
        text = FILES[file.layout](file)
        content = f"{file.file}, {file.pages}, {text.size}, {text.written}, {text.stride}"
        yield f'"{file.name}", {content}, true'
        if text.cloned:
            yield f'"{file.name}.clone", {content}, false'


def _texts(recipe: Recipe) -> Iterator[tuple[int, int, FileText]]:
    """Index in the table, number of the file, and text of each file that is laid out."""
    row = 0
    for file in recipe.plan.files:
        text = FILES[file.layout](file)
        yield row, file.file, text
        row += 2 if text.cloned else 1


def row_of(recipe: Recipe, number: int) -> int:
    """The index in the table of the file that a plan numbers so."""
    return next(row for row, file, _ in _texts(recipe) if file == number)


def _laid_out(recipe: Recipe) -> str:
    lines = ["", "static void lay_out(void)", "{"]
    texts = list(_texts(recipe))
    lines.append("\tint fd, clone;" if any(text.cloned for _, _, text in texts) else "\tint fd;")
    layouts = {file.file: file.layout for file in recipe.plan.files}
    for row, number, text in texts:
        lines += ["", f"\t/* file {number}: {layouts[number]} */", f"\tfd = create(files[{row}].name);"]
        lines += [f"\t{line.format(row=row)}" for line in text.lines]
        lines += ["\tfinish(fd);"]
    lines += ["", "\tfor (int file = 0; file < FILES; file++)", "\t\tstate->size[file] = files[file].size;"]
    lines += ['\tfd = open(".", O_RDONLY | O_DIRECTORY);', '\tmust(!syncfs(fd) && !close(fd), "syncfs");']
    if recipe.free_blocks is not None:
        lines.append(f"\tfill({recipe.free_blocks});")
    return "\n".join([*lines, "}"])


# -- workers -------------------------------------------------------------------------------------------------------


def _calls(recipe: Recipe) -> Iterator[Call]:
    """Everything that the workers call, but for the stores."""
    for worker in recipe.plan.workers:
        yield PINS[worker.pin]
        for op in worker.ops:
            if op.kind != "store":
                yield _call(op)


def _call(op: Op) -> Call:
    return SYNCS[op.name] if op.kind == "sync" else DISTURBANCES[op.kind]


def _put_code(recipe: Recipe) -> Iterator[str]:
    """Each way to store once; some share the function that holds the content."""
    seen: set[str] = set()
    for code in dict.fromkeys(PUTS[worker.access].code for worker in recipe.plan.workers):
        for function in code.split("\n}\n"):
            if function.strip() and function not in seen:
                seen.add(function)
                yield f"{function}\n}}\n"


def _worker(recipe: Recipe, number: int) -> str:
    worker = recipe.plan.workers[number]
    put = PUTS[worker.access]
    place = f"{number}, {row_of(recipe, worker.file)}, -1, -1, {worker.first_page}, {worker.pages}, 0, NULL"
    pages = f"pages {worker.first_page} to {worker.first_page + worker.pages - 1}"
    about = f"Worker {worker.worker}: file {worker.file}, {pages}, pin {worker.pin}, access path {worker.access}."
    pin = "\n".join(PINS[worker.pin].lines)
    lines = [f"struct mapping m = {{ {place} }};"]
    lines += ["struct mapping other;"] if put.target == "other" else []
    lines += ["", *_OPEN, pin]
    if put.target == "other":
        lines += ["other = m;", "other.fd = opened(&m);", "map(&other, 0);\t/* not pinned */"]
    lines.append("")
    for op in worker.ops:
        lines += _steps(worker, op, put, pin)
    return "\n".join(
        [f"\n/* {about} */", f"static void worker_{worker.worker}(void)", "{", indent("\n".join(lines), "\t"), "}"]
    )


def _steps(worker: WorkerPlan, op: Op, put: Put, pin: str) -> list[str]:
    first, pages = (op.first_page, op.pages) if op.pages else (worker.first_page, worker.pages)
    if op.kind == "store":
        return [f"store(&{put.target}, {first}, {pages}, {put.name}, {put.reach[0]}, {put.reach[1]});"]
    words = {"first": first, "pages": pages, "open": "\n".join(_OPEN), "pin": pin}
    return [line % words for line in _call(op).lines]

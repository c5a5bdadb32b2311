"""What the words and numbers of a plan mean, checked in one place. Pure.

People edit plans, so whoever reads one (`--plan`, replay, shrink, compare, the store, the agent in the guest) reads it
with `read_plan`. Not checked is what a filesystem or kernel has: that is `notrun`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import pairwise

from torture.errors import BadRequest
from torture.faults import make
from torture.filesystems import FILESYSTEMS, filesystem
from torture.filesystems.words import check_words
from torture.plan import MAX_MEMLOCK_BYTES, MAX_PAGES, MAX_WORKERS, FaultSpec, FilePlan, Plan
from verify.codec import shown
from workloads.access import ACCESSES
from workloads.layouts import CLONE_ID_OFFSET, LAYOUTS
from workloads.pins import PINS
from workloads.plan import Op, WorkerPlan
from workloads.probes import STEPS
from workloads.syncs import SYNCS

_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}")
_NAME_IN_WORDS = "allowed are 1 to 100 letters, digits, dots, underscores and hyphens, but not . and .."
_PAGE_BYTES = tuple(1 << power for power in range(12, 17))
_KINDS = ("store", "sync", "gate", *STEPS)
_HIGHEST_WORKER = 0xFFFF_FFFF
"""The writer of a stamp has 32 bits, and 0 is nobody."""


def read_plan(text: str | bytes) -> Plan:
    """The plan in `text`; BadRequest names the field that is wrong, what it says, and what is allowed."""
    plan = Plan.from_json(text)
    check(plan)
    return plan


def check(plan: Plan) -> None:
    """BadRequest, as for `read_plan`, if the plan cannot be carried out as it stands."""
    _known("filesystem", plan.filesystem, FILESYSTEMS)
    places = ("mkfs_options", "mount_options")
    check_words(plan.filesystem, filesystem(plan.filesystem).words, plan.mkfs_options, plan.mount_options, places)
    _known("page_bytes", plan.page_bytes, _PAGE_BYTES)
    _in_range("memlock_bytes", plan.memlock_bytes, -1, MAX_MEMLOCK_BYTES)
    for field, members in (("files", plan.files), ("workers", plan.workers)):
        if not members:
            raise BadRequest(f"{field}: found []", "a plan has at least one")
    for at, file in enumerate(plan.files):
        _check_file(f"files[{at}]", file)
    _unique("files[{}].file", [file.file for file in plan.files])
    _unique("files[{}].name", [file.name for file in plan.files])
    files = {file.file: file for file in plan.files}
    for at, worker in enumerate(plan.workers):
        _known(f"workers[{at}].file", worker.file, files)
        _check_worker(f"workers[{at}]", worker, files[worker.file])
    _unique("workers[{}].worker", [worker.worker for worker in plan.workers])
    for file in plan.files:
        _check_together([(at, worker) for at, worker in enumerate(plan.workers) if worker.file == file.file])
    for at, fault in enumerate(plan.faults):
        _check_fault(f"faults[{at}]", fault)


def _check_file(place: str, file: FilePlan) -> None:
    _in_range(f"{place}.file", file.file, 1, CLONE_ID_OFFSET - 1)
    _check_name(f"{place}.name", file.name)
    _known(f"{place}.layout", file.layout, LAYOUTS)
    _in_range(f"{place}.pages", file.pages, 1, MAX_PAGES * MAX_WORKERS)


def _check_worker(place: str, worker: WorkerPlan, file: FilePlan) -> None:
    _in_range(f"{place}.worker", worker.worker, 1, _HIGHEST_WORKER)
    if worker.path != file.name:
        raise BadRequest(f"{place}.path: {shown(worker.path)} is not file {file.file}", f"allowed is its name, {file.name}")
    _in_range(f"{place}.first_page", worker.first_page, 0, file.pages - 1)
    _in_range(f"{place}.pages", worker.pages, 1, min(MAX_PAGES, file.pages - worker.first_page))
    _known(f"{place}.pin", worker.pin, PINS)
    _known(f"{place}.access", worker.access, ACCESSES)
    for at, op in enumerate(worker.ops):
        _check_op(f"{place}.ops[{at}]", op, worker)


def _check_op(place: str, op: Op, worker: WorkerPlan) -> None:
    _known(f"{place}.kind", op.kind, _KINDS)
    if op.kind == "gate":
        _check_name(f"{place}.name", op.name)
    elif op.kind == "sync":
        _known(f"{place}.name", op.name, SYNCS)
    elif op.name:
        raise BadRequest(f"{place}.name: {shown(op.name)} is unknown", f"allowed is none for {op.kind}")
    _in_range(f"{place}.pages", op.pages, 0, worker.pages)
    if op.pages:
        last = worker.first_page + worker.pages - op.pages
        _in_range(f"{place}.first_page", op.first_page, worker.first_page, last)
    elif op.first_page:
        raise BadRequest(f"{place}.first_page: {op.first_page} is out of range", "allowed is 0 with no pages")


def _check_together(workers: list[tuple[int, WorkerPlan]]) -> None:
    """The workers of one file, with their indices: no page has two owners, and who changes the size is alone."""
    for (_, before), (at, worker) in pairwise(sorted(workers, key=lambda each: each[1].first_page)):
        if worker.first_page < (end := before.first_page + before.pages):
            wrong = f"workers[{at}].first_page: page {worker.first_page} is worker {before.worker}'s"
            raise BadRequest(wrong, f"allowed are pages from {end} on, as a page has one owner")
    for at, worker in workers if len(workers) > 1 else ():
        for step, op in enumerate(worker.ops):
            if op.kind in STEPS and STEPS[op.kind].alone:
                wrong = f"workers[{at}].ops[{step}].kind: {op.kind} changes the size of a file of several workers"
                raise BadRequest(wrong, "allowed is it for a worker that is alone on its file")


def _check_fault(place: str, fault: FaultSpec) -> None:
    try:
        make(fault)
    except BadRequest as error:
        raise BadRequest(f"{place}: {error.wrong}", error.allowed) from None


def _check_name(place: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(f"{place}: {shown(name)} is no name", _NAME_IN_WORDS)


def _known(place: str, value: str | int, known: Collection[str | int]) -> None:
    if value not in known:
        raise BadRequest(f"{place}: {shown(value)} is unknown", f"allowed are {', '.join(map(str, known))}")


def _in_range(place: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise BadRequest(f"{place}: {shown(value)} is out of range", f"allowed is {lowest} to {highest}")


def _unique(place: str, values: Iterable[str | int]) -> None:
    seen: set[str | int] = set()
    for at, value in enumerate(values):
        if value in seen:
            raise BadRequest(f"{place.format(at)}: {shown(value)} is there twice", "each may be there once")
        seen.add(value)

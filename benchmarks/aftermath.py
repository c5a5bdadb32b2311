"""What a run that was killed leaves on the machine and in its store, looked at without the code that cleans up.

For whoever kills runs (benchmarks.kills, tests/guest). A run is known by its id alone, and by processes that were seen
while it lived: what else lives on the machine is never judged.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torture.campaign.artefacts import FINDINGS
from torture.campaign.run_config import RunConfig
from torture.draw.matrix import draw
from torture.errors import TortureError
from torture.judge import judge
from torture.lab import processes, run_id
from torture.lab.homes import LOCK
from torture.results.store import STORE, Store, Task, Trial

SCRATCHES = (Path("/dev/shm"), Path("/var/tmp"), Path("/tmp"), Path("/run"))
"""Where anything of a run may lie besides its results."""
TRIALS = "trials"
_GRACE_S = 3.0
"""A command that an orchestrator had started when it was killed comes to its end by itself."""
_PAUSE_S = 0.05
_WHOLE_FINDING = "checked.txt"
"""The last but the image that is written into the directory of a finding (torture.campaign.artefacts)."""


# -- processes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment (/proc/PID/stat, proc(5)); equal only to itself, whatever gets its number later."""

    pid: int
    started: int
    """Clock ticks since the machine was booted."""

    def strike(self) -> bool:
        """SIGKILL to it and to nothing else; False if it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if self not in _living():
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a process stands among others."""

    parent: int
    group: int
    session: int


def _living() -> dict[Process, _Place]:
    """Every process that has not ended."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError):  # it is gone
            fields = stat.read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                found[Process(int(stat.parent.name), int(fields[19]))] = _Place(*map(int, fields[1:4]))
    return found


def tagged(run: str) -> set[int]:
    """Processes that say they are of a run. In User-mode Linux those of the guest say nothing; they are in its session."""
    return set(processes.tagged(f"{run_id.ENVIRONMENT}={run}"))


def guests(run: str) -> set[Process]:
    """The kernels of a run's guests, or the agents: they lead sessions."""
    named = tagged(run)
    return {process for process, place in _living().items() if process.pid in named and place.session == process.pid}


def processes_of(run: str, orchestrator: int = 0) -> set[Process]:
    """All that belongs to a run: what is tagged, what is in the same sessions, what the orchestrator started, and what is
    in its group."""
    living, named = _living(), tagged(run)
    sessions = {place.session for process, place in living.items() if process.pid in named} - {os.getsid(0)}
    found = {
        process
        for process, place in living.items()
        if process.pid in named | {orchestrator} or place.session in sessions or place.group == (orchestrator or -1)
    }
    pids = {process.pid for process in found}
    while more := {process for process, place in living.items() if place.parent in pids} - found:
        found |= more
        pids |= {process.pid for process in more}
    return found


# -- the machine ------------------------------------------------------------------------------------------------------


def left_behind(run: str, scratches: Collection[Path] = (), known: Collection[Process] = ()) -> list[str]:
    """What of a run, none of whose processes should live, is on this machine: one line each.

    `known`: processes that were of it while it lived.
    """
    return _until_nothing(lambda: [*what_is_there(run, scratches), *_lines(_living().keys() & set(known))])


def outlived(known: Collection[Process]) -> list[str]:
    """Those of these processes that do not end."""
    return _until_nothing(lambda: _lines(_living().keys() & set(known)))


def _until_nothing(look: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + _GRACE_S
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    return left


def what_is_there(run: str, scratches: Collection[Path] = ()) -> list[str]:
    """What of a run is on this machine now, and may be if it lives."""
    return [*_things(run, scratches), *_lines(processes_of(run))]


def _things(run: str, scratches: Iterable[Path]) -> Iterator[str]:
    yield from (f"mount {line}" for line in _mounts() if run in line)
    for kind, files in (("loop", "loop*/loop/backing_file"), ("dm", "dm-*/dm/name")):
        yield from (f"{kind} device {name}" for name in _read(Path("/sys/block").glob(files)) if run in name)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup" in line:
            yield from (f"cgroup {path}" for path in Path(line.split()[4]).glob(f"*{run}*"))
    for place in dict.fromkeys((*SCRATCHES, *scratches)):
        yield from (f"file {path}" for path in place.glob(f"*{run}*"))


def _lines(alive: Collection[Process]) -> list[str]:
    return [f"process {one.pid}: {_command(one)}" for one in sorted(alive, key=lambda process: process.pid)]


def _mounts() -> set[str]:
    """Lines of mountinfo, of every mount namespace that some process is in."""
    seen: dict[int, Path] = {}
    for namespace in Path("/proc").glob("[0-9]*/ns/mnt"):
        with suppress(OSError):  # it is gone
            seen.setdefault(namespace.stat().st_ino, namespace.parents[1] / "mountinfo")
    return {line for text in _read(seen.values()) for line in text.splitlines()}


def _read(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        with suppress(OSError):  # it is gone
            yield path.read_text(errors="replace").strip()


def _command(process: Process) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return words.strip()[:200] or Path(f"/proc/{process.pid}/comm").read_text().strip()
    return "gone by now"


# -- the store --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished trial as stored, and the files that prove it: name, bytes, time of the last change."""

    trial: Trial
    files: frozenset[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Stock:
    """What a store holds."""

    kept: Mapping[int, Kept]
    tasks: tuple[Task, ...]
    config: RunConfig | None
    """None: the run was killed before it had said what it is to do, and there is nothing to go on with."""


def stock(run: Path) -> Stock:
    """What the store of a run that is dead holds. It is read from a copy: whoever goes on with the run shall find it as
    the kill left it."""
    with tempfile.TemporaryDirectory(prefix="stock-") as copy:
        for path in run.glob(f"{STORE}*"):
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy)
        try:
            with Store(Path(copy)) as store:
                facts = store.facts()
                config = RunConfig.from_dict(facts["config"]) if "config" in facts else None
                kept = {trial.number: Kept(trial, _files(_home(run, trial))) for trial in store.trials()}
                return Stock(kept, tuple(store.tasks()), config)
        except TortureError:  # it has no store, or not yet the tables of one
            return Stock({}, (), None)


def losses(before: Stock, run: Path, after: Stock) -> Iterator[str]:
    """What a kill did to the results: trials that were finished before it and are gone or different, numbers that are
    missing, directories that belong to no trial."""
    for number, was in before.kept.items():
        now = after.kept.get(number)
        if now is None:
            yield f"lost: trial {number}, which was {was.trial.verdict.outcome.value}"
        elif now.trial != was.trial:
            yield f"lost: trial {number} was {was.trial.verdict} and is {now.trial.verdict}"
        elif now.files != was.files:
            yield f"lost: files of trial {number}: {sorted(was.files ^ now.files)}"
    if missing := [task.number for task in before.tasks if task not in after.tasks]:
        yield f"lost: tasks {missing}, which were handed out"
    numbers = [task.number for task in after.tasks if not _is_another_canary(task, after)]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"lost: trials are numbered {numbers}"
    if strange := _directories(run / TRIALS) - {task.directory_name for task in after.tasks}:
        yield f"left: directories that belong to no trial: {sorted(strange)}"


def unfulfilled(run: Path, found: Stock) -> Iterator[str]:
    """What is wrong with the results of a run that says it is finished."""
    if found.config is None:
        yield "lost: what the run was to do"
        return
    if unfinished := [task.number for task in found.tasks if task.number not in found.kept]:
        yield f"lost: trials {unfinished} have no result"
    yield from _twice(found)
    yield from _not_as_drawn(found.config, found)
    for number, kept in found.kept.items():
        plan, directory = kept.trial.plan, _home(run, kept.trial)
        if not kept.files:
            yield f"lost: the directory of trial {number}"
        elif (again := judge(plan, directory).outcome) is not kept.trial.verdict.outcome:
            yield f"lost: evidence of trial {number}: it is {kept.trial.verdict.outcome.value}, judged again {again.value}"
    for name in _directories(run / FINDINGS):
        if not (run / FINDINGS / name / _WHOLE_FINDING).exists():
            yield f"left: a finding of which only a part was kept: {name}"
    there = {path.name for path in run.iterdir() if not path.name.startswith("console-")}
    if strange := there - {STORE, LOCK, TRIALS, FINDINGS}:
        yield f"left: {sorted(strange)} among the results"


def _twice(found: Stock) -> Iterator[str]:
    """Canaries are planted again whenever a campaign is gone on with."""
    plans = Counter((task.plan.identity, task.kernel) for task in found.tasks if not task.is_canary)
    yield from (f"doubled: plan {plan} was run {count} times" for (plan, _), count in plans.items() if count > 1)


def _not_as_drawn(config: RunConfig, found: Stock) -> Iterator[str]:
    """A run is drawn once. Of a campaign only the number of trials is known."""
    if config.endless:
        if config.most_trials and len(found.tasks) != config.most_trials:
            yield f"lost: {len(found.tasks)} trials, wanted were {config.most_trials}"
        return
    wanted = [(item.plan.identity, item.arm) for item in draw(config.request)]
    if wanted != [(task.plan.identity, task.arm) for task in found.tasks if not _is_another_canary(task, found)]:
        yield f"lost: {len(found.tasks)} trials, which are not the {len(wanted)} that were drawn"


def _is_another_canary(task: Task, found: Stock) -> bool:
    """Whether it was planted because the kernel could not plant one that was drawn; its number is behind those of all."""
    config = found.config
    return task.is_canary and config is not None and not config.endless and task.number > len(draw(config.request))


def _home(run: Path, trial: Trial) -> Path:
    return run / TRIALS / trial.directory_name


def _files(directory: Path) -> frozenset[tuple[str, int, int]]:
    status = ((path, path.stat()) for path in directory.rglob("*"))
    return frozenset((str(path.relative_to(directory)), one.st_size, one.st_mtime_ns) for path, one in status)


def _directories(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()} if place.is_dir() else set()

"""Carries a run out: what comes next, several guests at a time, progress, interrupts, and what it all took.

Between the command line, which knows no labs, and the runner, which knows no terminal.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torture.campaign.artefacts import Keeper
from torture.campaign.interrupts import interrupts
from torture.campaign.progress import Progress
from torture.campaign.run_config import RunConfig
from torture.campaign.run_directory import RunDirectory, opened, reopened
from torture.campaign.runner import Runner, Source
from torture.campaign.schedule import FixedList, Schedule
from torture.draw.matrix import draw
from torture.results.store import Store, Trial

PURPOSE = "run"
"""Of runs and campaigns, which `torture resume` goes on with."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended: its trials as stored, facts about it, and whether somebody stopped it."""

    directory: Path
    config: RunConfig
    trials: list[Trial]
    facts: dict[str, Any]
    interrupted: bool


def carry_out(config: RunConfig, say: Callable[[str], None]) -> Ended:
    """A new run or campaign."""
    with opened(config, PURPOSE, say) as run:
        return _carry_out(run)


def resume(directory: Path, config: RunConfig, say: Callable[[str], None]) -> Ended:
    """Go on with a run that was killed or stopped, with the config that is recorded: nothing that finished is run again,
    nothing in flight is lost."""
    with reopened(directory, config, say) as run:
        finished = len(list(run.store.trials()))
        ended = _carry_out(run)
    if len(ended.trials) == finished and not ended.interrupted:
        say(f"{directory.name} was finished, nothing was left to run")
    return ended


def _carry_out(run: RunDirectory) -> Ended:
    config = run.config
    facts = {kernel: lab.facts for kernel, lab in run.labs.items()}
    keeper = Keeper(run.path, facts, config.artefact_bytes, config.on_finding)
    source, total = _source(config, list(run.labs), run.store)
    interrupted = follow(run, source, total, keeper=keeper if config.artefact_bytes else None)
    return Ended(run.path, config, list(run.store.trials()), run.store.facts(), interrupted)


def _source(config: RunConfig, kernels: list[str], store: Store) -> tuple[Source, int | None]:
    """What a run or campaign does, and how many trials that is, if that is known."""
    if not config.endless:
        drawn = draw(config.request)
        return FixedList(drawn, kernels[0], list(store.trials())), len(drawn)
    schedule = Schedule(
        config.request,
        kernels,
        most_trials=config.most_trials,
        most_findings=config.most_findings,
        known=config.known,
        unfinished=list(store.tasks(unfinished=True)),
        finished=list(store.trials()),
    )
    return schedule, config.most_trials


def follow(
    run: RunDirectory,
    source: Source,
    total: int | None,
    *,
    time_limit_s: float | None = None,
    keeper: Keeper | None = None,
) -> bool:
    """Carry out what `source` wants, `total` trials if that is known; whether somebody interrupted it.

    No trial is started after `time_limit_s`, by default the rest of what the config allows. `keeper` keeps findings.
    """
    if time_limit_s is None and run.config.time_limit_s is not None:
        time_limit_s = max(0.0, run.config.time_limit_s - float(run.store.facts().get("wall_seconds", 0.0)))
    lost_guests: list[str] = []
    with Progress(total, run.store.trials(), sys.stderr, time_limit_s, lost_guests) as progress:
        runner = Runner(
            labs=run.labs,
            source=source,
            directory=run.path,
            jobs=run.config.guests,
            keep=keeper.keep if keeper else None,
            watchers=(progress.finished, *([keeper.finished] if keeper else [])),
            time_limit_s=time_limit_s,
            lost_guests=lost_guests,
        )
        with interrupts(runner) as interrupted, _accounted(run.store, runner, interrupted):
            runner.run(run.store)
    return interrupted.is_set()


@contextmanager
def _accounted(store: Store, runner: Runner, interrupted: threading.Event) -> Iterator[None]:
    """Store what the run takes, on top of what it took before it was resumed."""
    facts = store.facts()
    began, busy_began = time.monotonic(), busy_seconds()
    try:
        yield
    finally:
        store.describe(
            wall_seconds=float(facts.get("wall_seconds", 0.0)) + time.monotonic() - began,
            busy_seconds=float(facts.get("busy_seconds", 0.0)) + busy_seconds() - busy_began,
            cores=os.cpu_count(),
            jobs=runner.jobs,
            lost_guests=[*facts.get("lost_guests", []), *runner.lost_guests],
            boots=int(facts.get("boots", 0)) + runner.boots,
            interrupted=interrupted.is_set(),
        )


def busy_seconds() -> float:
    """How long all cores of this machine together were at work since it was booted (/proc/stat, proc(5)): everything but
    idle and waiting for I/O."""
    _, *ticks = Path("/proc/stat").read_text().splitlines()[0].split()[:9]
    user_to_steal = [int(tick) for tick in ticks]
    return (sum(user_to_steal) - sum(user_to_steal[3:5])) / os.sysconf("SC_CLK_TCK")

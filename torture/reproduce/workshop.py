"""Where replays, comparisons and shrinks run: a run directory with its store, labs, and guests that follow a source."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torture.campaign import session
from torture.campaign.interrupts import interrupts
from torture.campaign.progress import Progress
from torture.campaign.run_config import Order
from torture.campaign.runner import Campaign, Source
from torture.errors import BadRequest
from torture.lab import clean
from torture.lab.base import Lab
from torture.lab.choose import LOCAL, KernelChoice
from torture.lab.run_id import Hold, new_run_id
from torture.results.store import Store, Trial


@dataclass(frozen=True, slots=True)
class Workshop:
    """A run directory that is open: its order, labs by name, and store."""

    order: Order
    labs: Mapping[str, Lab]
    directory: Path
    store: Store

    def run(self, source: Source, total: int | None, time_limit_s: float | None = None) -> bool:
        """Carry out what `source` wants; whether somebody interrupted it. `total` trials, if that is known.

        No trial is started after `time_limit_s`; without it, after the order's.
        """
        jobs = self.order.jobs or len(os.sched_getaffinity(0))
        began = time.monotonic()
        with Progress(total, [], sys.stderr) as progress:
            watched = _Watched(source, progress)
            limit = self.order.time_limit_s if time_limit_s is None else time_limit_s
            campaign = Campaign(self.labs, watched, self.directory, jobs, time_limit_s=limit)
            with interrupts(campaign) as interrupted:
                try:
                    campaign.run(self.store)
                finally:
                    self.store.describe(
                        wall_seconds=float(self.store.facts().get("wall_seconds", 0)) + time.monotonic() - began,
                        jobs=jobs,
                        lost_guests=campaign.lost_guests,
                        boots=campaign.boots,
                        interrupted=interrupted.is_set(),
                    )
        return interrupted.is_set()


class _Watched:
    """A source that also tells the progress bar."""

    def __init__(self, source: Source, progress: Progress) -> None:
        self.next = source.next
        self._finished, self._progress = source.finished, progress

    def finished(self, trial: Trial) -> None:
        """Pass it on."""
        self._finished(trial)
        self._progress.finished(trial)


@contextmanager
def opened(order: Order, purpose: str, say: Callable[[str], None]) -> Iterator[Workshop]:
    """A new run directory for `purpose`, the name of a command. Seed and directory are the first thing said."""
    run_id = new_run_id()
    directory = order.results.absolute() / run_id
    labs = order.labs(run_id, directory)
    session.make_room(order.results, order.scratch)
    with _working(order, run_id):
        (directory / "trials").mkdir(parents=True)
        say(f"seed {order.request.seed}, results in {directory}")
        store = Store(directory, create=True)
        try:
            store.describe(run=run_id, order=order.to_dict(), seed=order.request.seed, purpose=purpose)
            yield Workshop(order, labs, directory, store)
        finally:
            store.close()


@contextmanager
def reopened(directory: Path, purpose: str, say: Callable[[str], None]) -> Iterator[Workshop]:
    """A run directory that `opened` made for the same purpose, to go on with it."""
    store = Store(directory)
    try:
        facts = store.facts()
        if facts.get("purpose") != purpose:
            raise BadRequest(f"{directory} is no {purpose}", f"give the directory that `torture {purpose}` made")
        order, run_id = Order.from_dict(facts["order"]), str(facts["run"])
        with _working(order, run_id):
            say(f"seed {order.request.seed}, results in {directory}")
            yield Workshop(order, order.labs(run_id, directory.absolute()), directory.absolute(), store)
    finally:
        store.close()


@contextmanager
def _working(order: Order, run_id: str) -> Iterator[None]:
    """Hold the run, after what dead runs left was reaped; no scratch disk of it is left behind."""
    with Hold(run_id):
        clean.reap(session.scratches(order.scratch))
        shutil.rmtree(order.scratch / run_id, ignore_errors=True)
        try:
            yield
        finally:
            shutil.rmtree(order.scratch / run_id, ignore_errors=True)


def lab_name(lab: str, kernel: KernelChoice) -> str:
    """How a lab's tasks name it."""
    return LOCAL if lab == LOCAL else kernel.label

"""One run from order to result: labs, store, campaign, progress, and what an interrupt does.

Between the command line, which knows no labs, and the campaign, which knows no terminal.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devicemapper import tools
from devicemapper.errors import BlockStackError
from torture.campaign.artefacts import Keeper
from torture.campaign.interrupts import interrupts
from torture.campaign.progress import Progress
from torture.campaign.run_config import Order
from torture.campaign.runner import Campaign, Source
from torture.campaign.schedule import FixedList, Schedule
from torture.draw.matrix import draw
from torture.errors import BadRequest, BrokenTool
from torture.lab import clean, doctor
from torture.lab.base import Lab
from torture.lab.choose import LOCAL, QEMU, UML, KernelChoice, canary_fault, guest_lab, lab_for, local_lab
from torture.lab.disk import default_scratch
from torture.lab.run_id import Hold, new_run_id
from torture.results.store import STORE, Store, Trial

_ON_FINDING_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended: its trials as stored, facts about it, and whether somebody stopped it."""

    directory: Path
    trials: list[Trial]
    facts: dict[str, Any]
    interrupted: bool


def default_results() -> Path:
    """$XDG_STATE_HOME/torture, or ~/.local/state/torture."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "torture"


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0))


def busy_seconds() -> float:
    """How long all cores of this machine together were at work since it was booted (/proc/stat, proc(5)): everything but
    idle and waiting for I/O."""
    _, *ticks = Path("/proc/stat").read_text().splitlines()[0].split()[:9]
    user_to_steal = [int(tick) for tick in ticks]
    return (sum(user_to_steal) - sum(user_to_steal[3:5])) / os.sysconf("SC_CLK_TCK")


def draw_seed() -> int:
    """A seed nobody chose."""
    return secrets.randbelow(1 << 31)


def scratches(given: Path | None) -> list[Path]:
    """Where scratch files of dead runs may lie."""
    return [place for place in (given, default_scratch(), Path("/dev/shm"), Path("/var/tmp")) if place]


def carry_out(order: Order, say: Callable[[str], None]) -> Ended:
    """Run an order. The seed and the directory are the first thing said."""
    run_id = new_run_id()
    directory = order.results.absolute() / run_id
    order.labs(run_id, directory)  # refuses what cannot work before anything is made
    make_room(order.results, order.scratch)
    clean.reap(scratches(order.scratch))
    with Hold(run_id):
        (directory / "trials").mkdir(parents=True)
        say(f"seed {order.request.seed}, results in {directory}")
        store = Store(directory, create=True)
        try:
            store.describe(run=run_id, order=order.to_dict(), seed=order.request.seed)
            return _run(order, run_id, directory, store)
        finally:
            store.close()
            shutil.rmtree(order.scratch / run_id, ignore_errors=True)


def resume(directory: Path, say: Callable[[str], None]) -> Ended:
    """Go on with a run that was killed or stopped: nothing that finished is run again, nothing in flight is lost."""
    store = Store(directory)
    try:
        if purpose := store.facts().get("purpose"):
            raise BadRequest(f"{directory.name} is a {purpose}", f"`torture {purpose}` starts or goes on with one")
        order, run_id = Order.from_dict(store.facts()["order"]), str(store.facts()["run"])
        with Hold(run_id):
            clean.reap(scratches(order.scratch))
            shutil.rmtree(order.scratch / run_id, ignore_errors=True)
            say(f"seed {order.request.seed}, results in {directory}")
            return _run(order, run_id, directory.absolute(), store)
    finally:
        store.close()


def _run(order: Order, run_id: str, directory: Path, store: Store) -> Ended:
    labs = order.labs(run_id, directory)
    jobs = 1 if order.destroy else order.jobs or cores()
    facts = store.facts()
    before = float(facts.get("wall_seconds", 0.0))
    busy_before = float(facts.get("busy_seconds", 0.0)) - busy_seconds()
    source = _source(order, list(labs), store)
    keeper = Keeper(directory, {name: lab.facts for name, lab in labs.items()}, order.artefact_bytes)
    began = time.monotonic()
    left_s = None if order.time_limit_s is None else max(0.0, order.time_limit_s - before)
    lost_guests: list[str] = []
    with Progress(_total(order), list(store.trials()), sys.stderr, left_s, lost_guests) as progress:
        campaign = Campaign(
            labs=labs,
            source=_Observed(source, progress, keeper, order.on_finding),
            directory=directory,
            jobs=jobs,
            keep=keeper.keep if order.artefact_bytes else None,
            time_limit_s=left_s,
            lost_guests=lost_guests,
        )
        with interrupts(campaign) as interrupted:
            try:
                campaign.run(store)
            finally:
                store.describe(
                    wall_seconds=before + time.monotonic() - began,
                    busy_seconds=busy_before + busy_seconds(),
                    cores=os.cpu_count(),
                    jobs=jobs,
                    lost_guests=[*facts.get("lost_guests", []), *campaign.lost_guests],
                    boots=int(facts.get("boots", 0)) + campaign.boots,
                    interrupted=interrupted.is_set(),
                )
    return Ended(directory, list(store.trials()), store.facts(), interrupted.is_set())


def _total(order: Order) -> int | None:
    return order.most_trials if order.endless else len(draw(order.request, canary_fault(order.lab)))


def _source(order: Order, labs: list[str], store: Store) -> Source:
    canary = canary_fault(order.lab)
    if not order.endless:
        done = [trial.number for trial in store.trials()]
        return FixedList(draw(order.request, canary), labs[0], done)
    return Schedule(
        order.request,
        dict.fromkeys(labs, canary),
        most_trials=order.most_trials,
        most_findings=order.most_findings,
        known=order.known,
        unfinished=list(store.tasks(unfinished=True)),
        finished=list(store.trials()),
    )


class _Observed:
    """A source that also tells the progress bar, and starts the user's command for each new finding."""

    def __init__(self, source: Source, progress: Progress, keeper: Keeper, command: str) -> None:
        self._source, self._progress, self._keeper, self._command = source, progress, keeper, command
        self._told = 0
        self.next = source.next

    def finished(self, trial: Trial) -> None:
        """Pass it on."""
        self._source.finished(trial)
        self._progress.finished(trial)
        kept = list(self._keeper.kept)
        for home in kept[self._told :] if self._command else ():
            threading.Thread(target=_tell, args=(self._command, home), daemon=True).start()
        self._told = len(kept)


def make_room(results: Path, scratch: Path) -> None:
    """Make both directories; BrokenTool when nothing can be written there."""
    for place in (results, scratch):
        try:
            place.mkdir(parents=True, exist_ok=True)
            probe = place / f".torture-probe-{os.getpid()}"
            probe.write_bytes(bytes(1 << 20))
            probe.unlink()
        except OSError as error:
            raise BrokenTool(
                f"cannot write to {place}: {error.strerror}", "free some space there or give another --results"
            ) from error


def _tell(command: str, home: Path) -> None:
    """Run the user's command on a finding; what goes wrong with it is said, and stops nothing."""
    try:
        tools.run([command, str(home)], timeout_s=_ON_FINDING_TIMEOUT_S)
    except BlockStackError as error:
        sys.stderr.write(f"torture: {error}\n")


def find_run(given: Path, results: Path) -> Path:
    """The directory of a run, given as a path or as an id below `results`."""
    for candidate in (given, results / given):
        if (candidate / STORE).is_file():
            return candidate
    raise BadRequest(f"there is no run {given}", f"give a run directory, or the name of one in {results}")


def stored(directory: Path) -> tuple[list[Trial], dict[str, Any]]:
    """Trials and facts of a stored run."""
    store = Store(directory)
    try:
        return list(store.trials()), store.facts()
    finally:
        store.close()


def examine(results: Path, scratch: Path, kernel: str) -> list[doctor.LabReport]:
    """Boot every lab once, in a run of its own that leaves nothing, and ask what it can do."""
    run_id = new_run_id()
    make_room(results, scratch)
    directory = results.absolute() / run_id
    with Hold(run_id):
        directory.mkdir()
        try:
            names = [lab_for(kernel)] if kernel else [UML, QEMU]
            labs: list[Lab] = [guest_lab(name, run_id, directory, scratch, KernelChoice(kernel, ())) for name in names]
            if not kernel:
                labs.append(local_lab(run_id, directory, scratch, None))
            return doctor.examine(labs)
        finally:
            for place in (directory, scratch / run_id):
                shutil.rmtree(place, ignore_errors=True)


__all__ = ["LOCAL", "Ended", "carry_out", "default_results", "draw_seed", "examine", "find_run", "resume", "stored"]

"""One run from order to result: lab, store, campaign, progress, and what an interrupt does.

Between the command line, which knows no labs, and the campaign, which knows no terminal.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from torture import clean, doctor
from torture.campaign import Campaign
from torture.draw import draw
from torture.errors import BadRequest, BrokenTool, MissingRequirement
from torture.ground import has_device_mapper
from torture.lab.base import GuestLost, Lab
from torture.lab.disk import default_scratch
from torture.lab.local import LocalLab
from torture.lab.uml import UmlLab, check_kernel
from torture.request import Request
from torture.run_id import Hold, new_run_id
from torture.store import STORE, Store, Trial

CANARY_WITH_DEVICE_MAPPER, CANARY_WITHOUT = "lying-disk", "stale-disk"


@dataclass(frozen=True, slots=True)
class Order:
    """A request, and where and how to carry it out.

    `lab` None is the best one found, `jobs` None the cores; `destroy` is a device that the user gave up (local lab).
    """

    request: Request
    lab: str | None
    kernel: str
    kernel_arguments: tuple[str, ...]
    jobs: int | None
    time_limit_s: float | None
    results: Path
    scratch: Path
    destroy: Path | None = None


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


def draw_seed() -> int:
    """A seed nobody chose."""
    return secrets.randbelow(1 << 31)


def scratches(given: Path | None) -> list[Path]:
    """Where scratch files of dead runs may lie."""
    return [place for place in (given, default_scratch(), Path("/dev/shm"), Path("/var/tmp")) if place]


def carry_out(order: Order, say: Callable[[str], None]) -> Ended:
    """Run it. The seed and the directory are the first thing said."""
    run_id = new_run_id()
    lab = _choose_lab(order, run_id)
    _make_room(order.results, order.scratch)
    clean.reap(scratches(order.scratch))
    with Hold(run_id):
        directory = _make_directory(order.results, run_id)
        say(f"seed {order.request.seed}, results in {directory}")
        store = Store(directory, create=True)
        try:
            store.describe(**_facts(order, run_id, lab))
            return _campaign(order, lab, directory, store)
        finally:
            store.close()
            shutil.rmtree(order.scratch / run_id, ignore_errors=True)


def _campaign(order: Order, lab: Lab, directory: Path, store: Store) -> Ended:
    canary = CANARY_WITH_DEVICE_MAPPER if lab.name == "uml" else _local_canary()
    drawn = draw(order.request, canary)
    jobs = 1 if order.destroy else order.jobs or len(os.sched_getaffinity(0))
    began = time.monotonic()
    with tqdm(total=len(drawn), unit="trial", file=sys.stderr, disable=None, dynamic_ncols=True) as bar:
        findings = 0

        def on_trial(trial: Trial) -> None:
            nonlocal findings
            findings += 0 if trial.arm == "canary" else len(trial.verdict.findings)
            bar.set_postfix(findings=findings, refresh=False)
            bar.update()

        campaign = Campaign(lab, drawn, directory, jobs, on_trial, order.time_limit_s)
        try:
            with _interrupts(campaign) as interrupted:
                campaign.run(store)
        except GuestLost as lost:
            raise BrokenTool(str(lost), "look at the console; `torture doctor` tells what can run here") from lost
    wall = time.monotonic() - began
    store.describe(wall_seconds=wall, jobs=jobs, lost_guests=campaign.lost_guests, interrupted=interrupted.is_set())
    return Ended(directory, list(store.trials()), store.facts(), interrupted.is_set())


@contextmanager
def _interrupts(campaign: Campaign) -> Iterator[threading.Event]:
    """The first interrupt finishes the trials in flight; the second ends them at once."""
    interrupted = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if interrupted.is_set():
            campaign.kill()
        else:
            interrupted.set()
            campaign.stop()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _choose_lab(order: Order, run_id: str) -> Lab:
    """The lab asked for, or uml wherever a kernel for it is found."""
    name = order.lab or "uml"
    if name == "local":
        if order.kernel or order.kernel_arguments:
            raise BadRequest("--kernel and --kernel-arg choose a guest's kernel", "leave them out with --lab local")
        home = _home(order.results, run_id)
        lab: Lab = LocalLab(run_id, home, order.scratch, order.request.page_bytes, order.destroy)
    else:
        if order.destroy:
            raise BadRequest("--destroy gives a device to the local lab", "use it with --lab local")
        if order.kernel:
            check_kernel(order.kernel)
        lab = _uml(run_id, _home(order.results, run_id), order.scratch, order)
    reason = lab.unavailable()
    if reason:
        raise MissingRequirement(f"lab {name} cannot run: {reason}", "`torture doctor` shows what can run here")
    return lab


def _uml(run_id: str, results: Path, scratch: Path, order: Order) -> UmlLab:
    return UmlLab(run_id, results, scratch, order.request.page_bytes, order.kernel, order.kernel_arguments)


def _local_canary() -> str:
    return CANARY_WITH_DEVICE_MAPPER if has_device_mapper("") else CANARY_WITHOUT


def _home(results: Path, run_id: str) -> Path:
    return results.absolute() / run_id


def _make_room(results: Path, scratch: Path) -> None:
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


def _make_directory(results: Path, run_id: str) -> Path:
    directory = _home(results, run_id)
    (directory / "trials").mkdir(parents=True)
    return directory


def _facts(order: Order, run_id: str, lab: Lab) -> dict[str, Any]:
    return {
        "run": run_id,
        "seed": order.request.seed,
        "lab": lab.name,
        "kernel": order.kernel,
        "kernel_arguments": order.kernel_arguments,
        "request": asdict(order.request),
    }


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
    _make_room(results, scratch)
    with Hold(run_id):
        home = _make_directory(results, run_id)
        try:
            request = Request()
            order = Order(request, None, kernel, (), 1, None, results, scratch)
            labs: list[Lab] = [_uml(run_id, home, scratch, order)]
            if not kernel:
                labs.append(LocalLab(run_id, home, scratch, request.page_bytes))
            return doctor.examine(labs)
        finally:
            for place in (home, scratch / run_id):
                shutil.rmtree(place, ignore_errors=True)

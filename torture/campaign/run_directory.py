"""The directory of a run, from its first moment to its last: id, labs, room, hold, store, scratch disks, clean up.

Whatever boots guests does so in a directory that is `held`. `opened` and `reopened` add labs and a store, for trials that
are kept (torture.campaign.execution carries them out); of a `temporary` one nothing is left.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torture.campaign.run_config import RunConfig
from torture.errors import BadRequest, BrokenTool
from torture.lab import clean
from torture.lab.base import Lab
from torture.lab.room import probe_room
from torture.lab.run_id import Hold, new_run_id
from torture.results.store import Store


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A run that this process holds."""

    config: RunConfig
    path: Path
    labs: Mapping[str, Lab]
    """By the label of their kernel, as tasks name it."""
    store: Store


@contextmanager
def opened(config: RunConfig, purpose: str, say: Callable[[str], None]) -> Iterator[RunDirectory]:
    """A new run for `purpose`, the command that started it. Its seed and directory are the first thing said.

    BadRequest or MissingRequirement, before anything is made, if the labs cannot be had.
    """
    run_id = new_run_id()
    directory = config.results.absolute() / run_id
    labs = config.labs(run_id, directory)
    with held(run_id, directory, config.scratch), Store(directory, create=True) as store:
        facts = {kernel: lab.facts for kernel, lab in labs.items()}
        seed = config.request.seed
        store.describe(run=run_id, purpose=purpose, seed=seed, config=config.to_dict(), labs=facts)
        say(f"seed {seed}, results in {directory}")
        yield RunDirectory(config, directory, labs, store)


@contextmanager
def reopened(directory: Path, purpose: str, say: Callable[[str], None]) -> Iterator[RunDirectory]:
    """A run that was opened for `purpose`, to go on with it. BadRequest for any other."""
    directory = directory.absolute()
    with Store(directory) as store:
        facts = store.facts()
        if (made_for := facts.get("purpose")) != purpose:
            raise BadRequest(f"{directory.name} is no {purpose}", f"`torture {made_for}` starts one and goes on with it")
        config, run_id = RunConfig.from_dict(facts["config"]), str(facts["run"])
        labs = config.labs(run_id, directory)
        with held(run_id, directory, config.scratch):
            say(f"seed {config.request.seed}, results in {directory}")
            yield RunDirectory(config, directory, labs, store)


@contextmanager
def temporary(results: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    """A run that leaves nothing: its id and its directory."""
    run_id = new_run_id()
    directory = results.absolute() / run_id
    with held(run_id, directory, scratch):
        try:
            yield run_id, directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def held(run_id: str, directory: Path, scratch: Path) -> Iterator[None]:
    """Hold a run: its directory is there, results and scratch have room, and no other process goes on with it.

    What dead runs left is reaped first, with what an earlier process left of this one; its scratch disks go in the end.
    """
    results = directory.parent
    if results.resolve() in (place.resolve() for place in clean.scratches(scratch)):
        raise BadRequest(f"results in {results} would be taken for scratch disks and removed", "give another --results")
    _make_room(results, scratch)
    with Hold(run_id, scratch):
        reaped = clean.reap(clean.scratches(scratch), held=run_id)
        if len(list((scratch / run_id).iterdir())) > 1:
            raise BrokenTool("; ".join(reaped.stuck) or f"{scratch / run_id} stays", "`torture clean` tells more")
        for line in reaped.stuck:
            print(f"torture: {line}", file=sys.stderr)
        directory.mkdir(exist_ok=True)
        yield


def _make_room(*places: Path) -> None:
    """Make the directories; BrokenTool when nothing can be written there."""
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BrokenTool(
                f"cannot write to {place}: {error.strerror}", "free some space there or give another --results"
            ) from error
        probe_room(place)

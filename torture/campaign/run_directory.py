"""The directory of a run, from its first moment to its last: id, labs, room, hold, store, scratch disks, clean up.

Whatever boots guests does so in a directory that is `held`. `opened` and `reopened` add labs and a store, for trials that
are kept (torture.campaign.execution carries them out); of a `temporary` one nothing is left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torture.campaign.recorded import stored
from torture.campaign.run_config import RunConfig
from torture.errors import BadRequest, BrokenTool
from torture.lab import clean, sandbox
from torture.lab.base import Lab
from torture.lab.choose import LOCAL
from torture.lab.disk import memory_scratch
from torture.lab.homes import LOCK
from torture.lab.room import probe_room
from torture.lab.run_id import PATTERN, Hold, new_run_id
from torture.report.terminal import echo
from torture.results.store import Store
from verify.descriptors import opened as opened_file


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A run that this process holds."""

    config: RunConfig
    path: Path
    labs: Mapping[str, Lab]
    """By the label of their kernel, as tasks name it."""
    store: Store


def opened(config: RunConfig, purpose: str, say: Callable[[str], None]) -> AbstractContextManager[RunDirectory]:
    """A new run for `purpose`, the command that started it. Its seed and directory are the first thing said.

    BadRequest or MissingRequirement, before anything is made, if the labs cannot be had.
    """
    return _opened(config, config.results.absolute() / new_run_id(), say, purpose)


@contextmanager
def _opened(config: RunConfig, directory: Path, say: Callable[[str], None], purpose: str = "") -> Iterator[RunDirectory]:
    """`purpose` "": the run was there before."""
    run_id, seed = directory.name, config.request.seed
    labs = config.labs(run_id, directory)
    with held(run_id, directory, config.scratch), Store(directory, create=bool(purpose), resume=not purpose) as store:
        if purpose:
            facts = {kernel: lab.facts for kernel, lab in labs.items()}
            store.describe(run=run_id, purpose=purpose, seed=seed, config=config.to_dict(), labs=facts)
        say(f"seed {seed}, results in {directory}")
        _say_what_is_missing(labs)
        yield RunDirectory(config, directory, labs, store)


def recorded(directory: Path, purpose: str, scratch: Path, say: Callable[[str], None]) -> RunConfig:
    """The config of a run that was opened for `purpose`, as it is to go on: in the place where the user found it, with its
    disks in `scratch`. What else of it may be believed is for torture.campaign.setting.

    BadRequest for a directory that is no such run, or that could lead what is written there elsewhere.
    """
    directory = directory.resolve()
    _, facts = stored(directory)
    if (made_for := facts.get("purpose")) != purpose:
        raise BadRequest(f"{directory.name} is no {purpose}", f"it was made by {made_for!r}")
    if not PATTERN.fullmatch(directory.name) or facts.get("run") != directory.name:
        raise BadRequest(
            f"{directory} says that it is run {facts.get('run')!r}",
            "the directory of a run has its name, which looks like torture-20260131-235959-0a1b2c: rename it back",
        )
    _check_tree(directory)
    config = RunConfig.from_dict(facts["config"])
    if config.scratch != scratch.absolute():
        say(f"scratch disks go to {scratch}; they were in {str(config.scratch)!r}, which --scratch gives")
    return replace(config, results=directory.parent, scratch=scratch)


def reopened(directory: Path, config: RunConfig, say: Callable[[str], None]) -> AbstractContextManager[RunDirectory]:
    """A run, to go on with it as `config` says, which is the `recorded` one."""
    return _opened(config, directory.resolve(), say)


def _check_tree(directory: Path) -> None:
    """A run that somebody else made may have links where results are to be written, or be changed meanwhile."""
    if directory.stat().st_uid != os.geteuid():
        raise BadRequest(f"{directory} belongs to another user", "go on with it as that user, or with a copy")
    for entry in _entries(directory):
        if not entry.is_file(follow_symlinks=False):
            raise BadRequest(f"{entry.path!r} is neither a file nor a directory", "a run has no links; remove it")


def _entries(directory: str | Path) -> Iterator[os.DirEntry[str]]:
    """All that is in a directory or below and is no directory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)
            else:
                yield entry


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
    for place in (results, scratch):
        probe_room(place)
    with ExitStack() as undo, ExitStack() as kept:
        if not directory.exists():
            directory.mkdir()
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
        kept.enter_context(_only_one(directory))
        for place in {scratch.absolute(), memory_scratch(scratch)}:
            kept.enter_context(Hold(run_id, place))
        _reap(run_id, scratch)
        undo.pop_all()
        yield


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """The home is held in one scratch directory (torture.lab.run_id); who goes on with the run may use another."""
    with opened_file(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadRequest(f"run {directory.name} is being carried out by another process", "wait for it") from error
        yield


def _reap(run_id: str, scratch: Path) -> None:
    """What resists is said, and stops no run but the one whose own it is."""
    reaped = clean.reap(clean.scratches(scratch), held=run_id)
    if len(list((scratch / run_id).iterdir())) > 1:
        raise BrokenTool("; ".join(reaped.stuck) or f"{scratch / run_id} stays", "`torture clean` tells more")
    for line in reaped.stuck:
        echo(f"torture: {line}", err=True)


def _say_what_is_missing(labs: Mapping[str, Lab]) -> None:
    """Nobody shall believe in a wall around guests that is not there."""
    if not sandbox.landlock_abi() and any(lab.name != LOCAL for lab in labs.values()):
        echo(f"torture: {sandbox.what_holds()}", err=True)

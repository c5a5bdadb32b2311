"""Options that several commands share, and the request they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from torture import session
from torture.request import Request, choose, choose_faults, choose_filesystems
from workloads.access import ACCESSES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS
from workloads.syncs import SYNCS

F = TypeVar("F", bound=Callable[..., Any])


def dimensions(command: F) -> F:
    """The repeatable options that choose values of the plan's dimensions."""
    for name, known in (
        ("--fault", "a fault, as NAME or NAME:KEY=NUMBER"),
        ("--sync", ", ".join(SYNCS)),
        ("--access", ", ".join(ACCESSES)),
        ("--pin", ", ".join(PINS)),
        ("--layout", ", ".join(LAYOUTS)),
        ("--fs", "a filesystem"),
    ):
        destination = name.strip("-") + "_values"
        command = click.option(name, destination, multiple=True, help=f"{known}; repeatable, or `all`.")(command)
    return command


def places(command: F) -> F:
    """Options about where results and disks are kept."""
    command = click.option(
        "--scratch", type=click.Path(path_type=Path), help="Directory for scratch disks (default: in memory)."
    )(command)
    return click.option(
        "--results", type=click.Path(path_type=Path), default=session.default_results, help="Directory for runs."
    )(command)


def request(options: dict[str, Any]) -> Request:
    """The request that the options of `torture run` make, checked."""
    named = any(options[f"{dimension}_values"] for dimension in ("pin", "access", "sync"))
    seed = options["seed"]
    defaults = Request()
    return Request(
        filesystems=choose_filesystems(options["fs_values"]),
        layouts=choose("--layout", options["layout_values"], LAYOUTS, defaults.layouts),
        pins=choose("--pin", options["pin_values"], PINS, defaults.pins),
        accesses=choose("--access", options["access_values"], ACCESSES, defaults.accesses),
        syncs=choose("--sync", options["sync_values"], SYNCS, defaults.syncs),
        faults=choose_faults(options["fault_values"]),
        mkfs_options=tuple(options["mkfs_options"].split()),
        mount_options=tuple(filter(None, options["mount_options"].split(","))),
        seed=session.draw_seed() if seed is None else seed,
        count=options["count"],
        pages=options["pages"],
        workers=options["workers"],
        memlock_bytes=options["memlock_bytes"],
        control=options["control"],
        representative=not named,
    )

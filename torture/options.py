"""Options that several commands share, and the request they make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from torture.campaign import session
from torture.draw.request import Request, choose, choose_faults, choose_filesystems, whole_space
from torture.plan_check import read_plan
from workloads.access import ACCESSES
from workloads.disturbances import DISTURBANCES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS
from workloads.syncs import SYNCS

F = TypeVar("F", bound=Callable[..., Any])


def dimensions(command: F) -> F:
    """The repeatable options that choose values of the plan's dimensions."""
    for name, known in (
        ("--fault", "a fault, as NAME or NAME:KEY=NUMBER"),
        ("--disturbance", ", ".join(DISTURBANCES)),
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
    """The request that the options of `torture run` make, checked. More than one draw, or a named disturbance, is a
    draw from the whole space: there, a dimension that was not named has all its values."""
    named = any(options[f"{dimension}_values"] for dimension in ("pin", "access", "sync"))
    wide = options["count"] > 1 or bool(options["disturbance_values"])
    defaults = whole_space() if wide else Request()
    seed = options["seed"]
    return Request(
        filesystems=choose_filesystems(options["fs_values"], defaults.filesystems),
        layouts=choose("--layout", options["layout_values"], LAYOUTS, defaults.layouts),
        pins=choose("--pin", options["pin_values"], PINS, defaults.pins),
        accesses=choose("--access", options["access_values"], ACCESSES, defaults.accesses),
        syncs=choose("--sync", options["sync_values"], SYNCS, defaults.syncs),
        disturbances=choose("--disturbance", options["disturbance_values"], DISTURBANCES, defaults.disturbances),
        faults=choose_faults(options["fault_values"], defaults.faults),
        mkfs_options=tuple(options["mkfs_options"].split()),
        mount_options=tuple(filter(None, options["mount_options"].split(","))),
        seed=session.draw_seed() if seed is None else seed,
        count=options["count"],
        pages=options["pages"],
        workers=options["workers"],
        memlock_bytes=options["memlock_bytes"],
        control=options["control"],
        representative=not named,
        pairwise=wide,
        plans=tuple(read_plan(path.read_bytes()).to_json() for path in options["plan_files"]),
    )

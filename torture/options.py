"""Options that several commands share, and the request they make."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from torture.dimensions import DIMENSIONS, Dimension
from torture.draw.matrix import MULTIPLIED, VARIED
from torture.draw.request import Request, whole_space
from torture.errors import BadRequest
from torture.lab.choose import LABS
from torture.plan_check import read_plan
from torture.report.formats import FORMATS, TEXT
from torture.report.terminal import echo
from torture.results.known_file import gathered, packaged, read_file
from verify.descriptors import read_text

F = TypeVar("F", bound=Callable[..., Any])


class DrawingCommand(click.Command):
    """A command with a repeatable option for each dimension, which chooses its values."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Those of the dimensions, then its own."""
        return [*(value_option(row, multiple=True) for row in DIMENSIONS.values()), *super().get_params(ctx)]


def value_option(row: Dimension, **settings: Any) -> click.Option:
    """The option that chooses values of a dimension; what it gets is called `OPTION_values`."""
    known = row.form or ", ".join(row.values)
    settings = {"help": f"{known}; repeatable, or `all`.", **settings}
    return click.Option([f"--{row.option}", f"{row.option}_values"], **settings)


def default_results() -> Path:
    """$XDG_STATE_HOME/torture, or ~/.local/state/torture."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(state) / "torture"


def form(command: Callable[..., int]) -> Callable[..., int]:
    """The options that choose a form of torture.report.formats; the command gets its name as `form`."""

    @wraps(command)
    def formatted(*args: Any, form: str, as_json: bool, **options: Any) -> int:
        return command(*args, form="json" if as_json else form, **options)

    flag = click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
    choice = click.option("--format", "form", type=click.Choice(list(FORMATS)), default=TEXT, help="How to print results.")
    return choice(flag(formatted))


def say(for_programs: bool) -> Callable[[str], None]:
    """Where lines go that are no results: a form for programs has stdout to itself."""
    return partial(echo, err=for_programs)


def draw_seed() -> int:
    """A seed nobody chose."""
    return secrets.randbelow(1 << 31)


def places(command: F) -> F:
    """Options about where results and disks are kept."""
    command = click.option(
        "--scratch", type=click.Path(path_type=Path), help="Directory for scratch disks (default: in memory)."
    )(command)
    return click.option("--results", type=click.Path(path_type=Path), default=default_results, help="Directory for runs.")(
        command
    )


def known(command: Callable[..., int]) -> Callable[..., int]:
    """The options that say which findings are known; the command gets the entries as `known`."""

    @wraps(command)
    def listed(*args: Any, known_files: tuple[Path, ...], no_known: bool, **options: Any) -> int:
        lists = [() if no_known else packaged(), *map(read_file, known_files)]
        return command(*args, known=gathered(*lists), **options)

    more = click.option(
        "--known",
        "known_files",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A FILE of further known findings, which do not count (`torture known list`); repeatable.",
    )
    return more(click.option("--no-known", is_flag=True, help="Leave out the known findings of the package.")(listed))


def setting(command: F) -> F:
    """The options that say where a run takes place, as torture.campaign.setting reads them."""
    for option in (
        click.option("--kernel-arg", "kernel_arguments", multiple=True, help="A parameter for the kernel; repeatable."),
        click.option("--kernel", "kernels", multiple=True, help="A User-mode Linux kernel, or a bzImage; repeatable."),
        click.option("--lab", type=click.Choice(LABS), help="Where trials run (default: qemu for a bzImage, else uml)."),
    ):
        command = option(command)
    return command


def request(options: dict[str, Any]) -> Request:
    """The request that the options of `torture run` make, checked. More than one draw, or a value of a dimension that the
    matrix does not vary, is a draw from the whole space: there, a dimension that was not named has all its values."""
    named = {name for name, row in DIMENSIONS.items() if options[f"{row.option}_values"]}
    drawn = [f"--{DIMENSIONS[name].option}" for name in sorted(named)] + ["--count"] * (options["count"] > 1)
    if options["plan_files"] and drawn:
        raise BadRequest(f"--plan with {', '.join(drawn)}", "a plan is run as it is; `torture replay --times N` repeats it")
    pairwise = options["count"] > 1 or not named <= VARIED
    defaults = whole_space() if pairwise else Request()
    seed = options["seed"]
    return Request(
        values={name: row.choose(options[f"{row.option}_values"], defaults[name]) for name, row in DIMENSIONS.items()},
        mkfs_options=tuple(options["mkfs_options"].split()),
        mount_options=tuple(filter(None, options["mount_options"].split(","))),
        seed=draw_seed() if seed is None else seed,
        count=options["count"],
        pages=options["pages"],
        workers=options["workers"],
        memlock_bytes=options["memlock_bytes"],
        control=options["control"],
        representative=named.isdisjoint(MULTIPLIED),
        pairwise=pairwise,
        plans=tuple(read_plan(_text(path)).to_json() for path in options["plan_files"]),
    )


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"cannot read {path}: {error}", "give a plan as JSON") from error

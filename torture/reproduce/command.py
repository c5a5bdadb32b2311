"""The commands that reproduce: options in, a report and an exit code out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import click

from torture import options as options_for
from torture import session
from torture.artefacts import tool_versions
from torture.draw import draw
from torture.errors import BadRequest
from torture.filesystems import filesystem
from torture.lab.disk import default_scratch
from torture.labs import UML, KernelChoice
from torture.order import Order
from torture.plan import Plan
from torture.report.summary import EXIT_CODES
from torture.reproduce import compare as comparing
from torture.reproduce import replay as replaying
from torture.reproduce import shrink as shrinking
from torture.reproduce import shrunk, words, workshop
from torture.reproduce.signature import Likeness, likeness
from torture.reproduce.subject import Subject, differences, find_subject, kernel_facts
from torture.reproduce.verdict import Verdict, overall
from torture.request import MAX_PAGES, Request, choose, choose_faults
from torture.store import Trial
from verify.outcome import Outcome
from workloads.access import ACCESSES
from workloads.layouts import LAYOUTS
from workloads.pins import PINS
from workloads.syncs import SYNCS

EXIT_INTERRUPTED = 130

F = TypeVar("F", bound=Callable[..., Any])

_subject = click.argument("subject", type=click.Path(path_type=Path), metavar="RUN[/TRIAL]|FINDING|PLAN")
_kernel = click.option("--kernel", help="Another User-mode Linux kernel than the recorded one; '' is the packaged one.")
_kernel_arguments = click.option(
    "--kernel-arg", "kernel_arguments", multiple=True, help="A kernel parameter instead of the recorded; repeatable."
)
_jobs = click.option("--jobs", type=click.IntRange(1, 64), help="Guests at a time (default: the cores).")
_time = click.option("--time", "time_limit_s", type=click.FloatRange(min=1), help="Start no trial after SECONDS.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@dataclass(frozen=True, slots=True)
class Places:
    """Where results and disks go, and how many guests run how long."""

    results: Path
    scratch: Path | None
    jobs: int | None
    time_limit_s: float | None = None

    def order(self, lab: str, kernels: tuple[KernelChoice, ...], seed: int) -> Order:
        """The order of a run that its own source fills with tasks."""
        return Order(
            request=Request(seed=seed),
            results=self.results,
            scratch=self.scratch or default_scratch(),
            lab=lab,
            kernels=kernels,
            jobs=self.jobs,
            time_limit_s=self.time_limit_s,
        )


def say(as_json: bool) -> Any:
    """Where the first line goes: JSON leaves stdout to machines."""
    return (lambda text: click.echo(text, err=True)) if as_json else click.echo


def chosen_kernel(subject: Subject, kernel: str | None, arguments: tuple[str, ...]) -> KernelChoice:
    """The recorded kernel, unless the user chose another."""
    if kernel is None:
        return KernelChoice(subject.kernel.path, arguments or subject.kernel.arguments)
    return KernelChoice(kernel, arguments)


@click.command()
@_subject
@options_for.places
@_kernel
@_kernel_arguments
@click.option("--times", type=click.IntRange(1, 100_000), default=10, show_default=True, help="Trials to run.")
@click.option("--until-failure", is_flag=True, help="Stop at the first that fails as recorded.")
@_jobs
@_json
def replay(subject: Path, results: Path, scratch: Path | None, as_json: bool, **options: Any) -> int:
    """Run the plan of a trial or finding again: how often it fails, and whether in the same way.

    Exit codes: 3 reproduced, 0 not reproduced, 5 nothing could be judged.
    """
    found = find_subject(subject, results)
    kernel = chosen_kernel(found, options["kernel"], options["kernel_arguments"])
    order = Places(results, scratch, options["jobs"]).order(found.lab, (kernel,), found.plan.seed)
    lab = workshop.lab_name(found.lab, kernel)
    source = replaying.Again(found.plan, lab, options["times"], found.expected, options["until_failure"])
    with workshop.opened(order, "replay", say(as_json)) as shop:
        shop.store.describe(subject=found.origin)
        interrupted = shop.run(source, options["times"])
        facts = shop.store.facts()
    replayed = replaying.count(source.trials, found.expected)
    warnings = _changed(found, kernel, source.trials)
    if as_json:
        click.echo(json.dumps(replaying.document(replayed, warnings, facts)))
    else:
        click.echo(replaying.render(replayed, warnings))
    if interrupted:
        return EXIT_INTERRUPTED
    if not replayed.judged:
        return EXIT_CODES[Outcome.unknown]
    return EXIT_CODES[Outcome.failed if replayed.reproduced else Outcome.passed]


def _changed(subject: Subject, kernel: KernelChoice, trials: list[Trial]) -> list[str]:
    """What is not as it was when the subject was recorded."""
    now = kernel_facts(kernel)
    if trials:
        now |= {"kernel": trials[0].kernel, **tool_versions(trials[0])}
    return differences(subject.recorded, now)


def _arm_options(command: F) -> F:
    """What may differ between the arms, and what both have."""
    for side in ("b", "a"):
        for name, meaning in (
            ("fs", "a filesystem"),
            ("mkfs-options", "options for mkfs, in one word for the shell"),
            ("mount-options", "options for mount, separated by commas"),
        ):
            option = click.option(f"--{name}-{side}", help=f"Arm {side.upper()} alone: {meaning}.")
            command = option(command)
        command = click.option(
            f"--kernel-arg-{side}", multiple=True, help=f"A kernel parameter of arm {side.upper()}; repeatable."
        )(command)
    for name, meaning in (("mkfs-options", "Options for mkfs"), ("mount-options", "Options for mount")):
        command = click.option(f"--{name}", default="", help=f"{meaning} of drawn plans, both arms.")(command)
    return command


@click.command()
@options_for.dimensions
@options_for.places
@click.option("--kernel", "kernels", multiple=True, help="Kernel of A, then of B; given once: of both.")
@click.option("--kernel-arg", "kernel_arguments", multiple=True, help="A kernel parameter of both arms; repeatable.")
@_arm_options
@click.option("--plan", type=click.Path(path_type=Path), help="Compare on this plan.")
@click.option("--finding", type=click.Path(path_type=Path), help="Compare on a RUN, RUN/TRIAL or finding directory.")
@click.option("--pairs", type=click.IntRange(2, 100_000), default=64, show_default=True, help="Pairs at most.")
@click.option("--pages", type=int, default=8, show_default=True, help="Drawn plans: pages each worker maps.")
@click.option("--workers", type=int, default=2, show_default=True, help="Drawn plans: workers on each file.")
@click.option("--seed", type=int, help="Seed of plans and order (default: drawn).")
@_time
@_jobs
@_json
def compare(results: Path, scratch: Path | None, as_json: bool, **options: Any) -> int:
    """Run the same plans in two arms, kernels or configurations, in random order: is the failure of A fixed in B?

    Exit codes: 0 fixed, or no difference; 3 not fixed or worse; 5 not reproducible on A, or nothing was judged.
    """
    seed = session.draw_seed() if options["seed"] is None else options["seed"]
    found = _compared(options, results)
    arms = _arms(options, found)
    lab = found.lab if found else UML
    order = Places(results, scratch, options["jobs"], options["time_limit_s"]).order(
        lab, tuple(dict.fromkeys(arm.kernel for arm in arms)), seed
    )
    plans = _same_plan(found.plan) if found else _drawn({**options, "seed": seed})
    expected = found.expected if found else ()
    source = comparing.Comparison(arms, plans, options["pairs"], seed, expected, fails=found is not None)
    with workshop.opened(order, "compare", say(as_json)) as shop:
        interrupted = shop.run(source, 2 * options["pairs"])
        source.conclude()
        result = comparing.document(source, shop.store.facts())
        shop.store.describe(comparison=result["signatures"], verdict=result["verdict"])
    click.echo(json.dumps(result) if as_json else comparing.render(source))
    if interrupted:
        return EXIT_INTERRUPTED
    verdict = overall(source.judged).verdict
    if verdict in (Verdict.not_reproducible, Verdict.unjudged):
        return EXIT_CODES[Outcome.unknown]
    return EXIT_CODES[Outcome.failed if comparing.is_bad(verdict) else Outcome.passed]


def _compared(options: dict[str, Any], results: Path) -> Subject | None:
    """The plan or finding that is compared on; None when plans are drawn."""
    given = [options[name] for name in ("plan", "finding") if options[name]]
    dimensions = [name for name in options if name.endswith("_values") and options[name]]
    if len(given) > 1 or (given and dimensions):
        raise BadRequest("more than one thing to compare on", "give one of --plan, --finding, or --fs, --layout ...")
    return find_subject(given[0], results) if given else None


def _arms(options: dict[str, Any], found: Subject | None) -> tuple[comparing.Arm, comparing.Arm]:
    kernels = options["kernels"] or ((found.kernel.path,) if found else ("",))
    if len(kernels) > 2:
        raise BadRequest("--kernel was given more than twice", "give that of A, then that of B")
    own = options["kernel_arguments"]
    if not own and found and not options["kernel_arg_a"] and not options["kernel_arg_b"] and not options["kernels"]:
        own = found.kernel.arguments
    first, second = (
        _arm(options, side, KernelChoice(path, (*own, *options[f"kernel_arg_{side}"])), found)
        for side, path in (("a", kernels[0]), ("b", kernels[-1]))
    )
    return first, second


def _arm(options: dict[str, Any], side: str, kernel: KernelChoice, found: Subject | None) -> comparing.Arm:
    name, mkfs, mount = (options[f"{option}_{side}"] for option in ("fs", "mkfs_options", "mount_options"))
    return comparing.Arm(
        name=side.upper(),
        kernel=kernel,
        lab=workshop.lab_name(found.lab if found else UML, kernel),
        filesystem=None if name is None else filesystem(name).name,
        mkfs_options=None if mkfs is None else tuple(mkfs.split()),
        mount_options=None if mount is None else tuple(filter(None, mount.split(","))),
    )


def _same_plan(plan: Plan) -> Iterator[Plan]:
    """The plan with its own seed, then with the next ones."""
    return (replace(plan, seed=plan.seed + turn) for turn in count())


def _drawn(options: dict[str, Any]) -> Iterator[Plan]:
    """The plans of a request, again and again with other seeds."""
    request = options_for.request({**options, "count": 1, "control": False, "memlock_bytes": -1, "plan_files": ()})
    request = replace(request, canary=False)
    for turn in count():
        yield from (item.plan for item in draw(replace(request, seed=request.seed + turn), ""))


@click.command()
@_subject
@options_for.places
@_kernel
@_kernel_arguments
@click.option(
    "--time",
    "time_limit_s",
    type=click.FloatRange(min=1),
    default=600,
    show_default=True,
    help="Start no trial after SECONDS; a shrink that is given as RUN goes on.",
)
@_jobs
@_json
def shrink(subject: Path, results: Path, scratch: Path | None, as_json: bool, **options: Any) -> int:
    """Find a smaller plan that fails as surely in the same way, and name the factors that matter.

    Exit codes: 0 done, 5 the budget was too small or the plan does not fail.
    """
    tell = say(as_json)
    try:
        run = session.find_run(subject, results)
        goes_on = session.stored(run)[1].get("purpose") == "shrink"
    except BadRequest:
        goes_on = False
    if goes_on:
        with workshop.reopened(run, "shrink", tell) as shop:
            return _carry_on(shop, options["time_limit_s"], as_json)
    found = find_subject(subject, results)
    kernel = chosen_kernel(found, options["kernel"], options["kernel_arguments"])
    order = Places(results, scratch, options["jobs"]).order(found.lab, (kernel,), found.plan.seed)
    with workshop.opened(order, "shrink", tell) as shop:
        target = asdict(likeness(found.expected[0])) if found.expected else None
        position = asdict(shrinking.Position(found.plan.to_json()))
        shop.store.describe(subject=found.origin, original=found.plan.to_json(), target=target, position=position)
        return _carry_on(shop, options["time_limit_s"], as_json)


def _carry_on(shop: workshop.Workshop, time_limit_s: float, as_json: bool) -> int:
    """Search from where the store says it stands."""
    facts = shop.store.facts()
    search = shrinking.Shrink(
        Plan.from_json(facts["original"]),
        next(iter(shop.labs)),
        Likeness(**facts["target"]) if facts["target"] else None,
        before=shop.store.trials(),
        first_number=1 + max((task.number for task in shop.store.tasks()), default=0),
        position=shrinking.Position(**facts["position"]),
        remember=lambda position: shop.store.describe(position=asdict(position), target=_plain(search.target)),
        say=lambda text: click.echo(text, err=True),
    )
    interrupted = shop.run(search, None, time_limit_s)
    plan = shop.directory / "shrunk.json"
    plan.write_text(search.plan.to_json() + "\n")
    if as_json:
        click.echo(json.dumps(shrunk.document(search, shop.store.facts())))
    else:
        click.echo(f"{shrunk.render(search)}\nThe plan is in {plan}; `torture replay {shop.directory}` runs it.")
    if interrupted:
        return EXIT_INTERRUPTED
    done = search.position.phase == "done" and not search.is_hopeless
    return EXIT_CODES[Outcome.passed if done else Outcome.unknown]


def _plain(target: Likeness | None) -> dict[str, str] | None:
    return None if target is None else asdict(target)


@click.command()
@click.option("--fs", "fs_name", required=True, help="The filesystem.")
@click.option("--layout", "layouts", multiple=True, default=["hole"], help="A file of this layout; repeatable.")
@click.option(
    "--pin", "pins", multiple=True, default=["mlock"], help="A worker with this pin on each file; repeatable."
)
@click.option("--access", default="store", show_default=True, help="How workers store.")
@click.option("--sync", default="msync", show_default=True, help="Without --ops: store, this sync, store, this sync.")
@click.option("--fault", "fault_names", multiple=True, default=["none"], help="NAME or NAME:KEY=NUMBER; repeatable.")
@click.option("--ops", help='What each worker does, as "store,sync msync,store 0+2,background".')
@click.option("--pages", type=click.IntRange(1, MAX_PAGES), default=4, show_default=True, help="Pages of each worker.")
@click.option("--mkfs-options", default="", help="Options for mkfs, in one word for the shell.")
@click.option("--mount-options", default="", help="Options for mount, separated by commas.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the plan.")
def plan(**options: Any) -> int:
    """Build a plan from words and print it, for `torture replay PLAN`, `compare --plan` and `shrink`."""
    choose("--sync", [options["sync"]], SYNCS, ())
    choose("--access", [options["access"]], ACCESSES, ())
    built = words.build(
        words.Words(
            filesystem=filesystem(options["fs_name"]).name,
            layouts=choose("--layout", options["layouts"], LAYOUTS, ()),
            pins=choose("--pin", options["pins"], PINS, ()),
            access=options["access"],
            faults=choose_faults(options["fault_names"]),
            ops=options["ops"] or f"store,sync {options['sync']},store,sync {options['sync']}",
            pages=options["pages"],
            seed=options["seed"],
            mkfs_options=tuple(options["mkfs_options"].split()),
            mount_options=tuple(filter(None, options["mount_options"].split(","))),
        )
    )
    click.echo(built.to_json())
    return 0


COMMANDS = (replay, compare, shrink, plan)

"""Which factors of a small failing plan matter: it is varied in one word at a time. Pure.

"Needs" is said only of what was left out, or changed, in trials that then did not fail. What no trial decided, because
the budget ended before or none could be judged, is said to be not tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from torture.dimensions import Dimension, words_of
from torture.faults import FAULTS, fault_class
from torture.plan import Plan
from torture.reproduce.shrinkers import (
    NOTHING,
    Shrinker,
    Step,
    fewer_faults,
    fewer_operations,
    fewer_options,
    fewer_pages,
    fewer_workers,
)


@dataclass(frozen=True, slots=True)
class Known:
    """What trials told of plans."""

    decide: Callable[[Plan], bool | None]
    """Whether a plan fails as surely as the first one did; None: still open."""
    was_judged: Callable[[Plan], bool] = lambda plan: True
    """Whether any trial of a plan could be judged: if none could, it is only known that the plan did not fail."""

    def fails(self, plan: Plan) -> bool | None:
        """Whether it fails, None if that is not known."""
        return self.decide(plan) if self.was_judged(plan) else None

    def are_all_without(self, plans: Sequence[Plan]) -> bool:
        """Whether none of the plans shows the failure, as seen on at least one of them: what has no store left, for
        instance, cannot be judged, and need not."""
        dropped = all(self.decide(plan) is False for plan in plans)
        return dropped and (not plans or any(map(self.was_judged, plans)))


def variations(plan: Plan) -> Iterator[Step]:
    """The plan with one word changed for another, and without its fault."""
    for _, _, others in _words(plan):
        yield from others
    if plan.faults != (NOTHING,):
        yield Step("no fault", replace(plan, faults=(NOTHING,)))


def name_factors(plan: Plan, known: Known) -> list[str]:
    """One phrase for each factor: what is needed, what is not tested, what does not matter."""
    phrases = [
        *(_phrase(row, old, {step.what: known.fails(step.plan) for step in others}) for row, old, others in _words(plan)),
        _fault(plan, known),
        *_operations(plan, known),
        *_amounts(plan, known),
        *_options(plan, known),
    ]
    return list(dict.fromkeys(text for wanted in Standing for standing, text in phrases if standing is wanted))


class Standing(Enum):
    """What is known of a factor, in the order in which it is told."""

    needed = 0
    untested = 1
    free = 2


Phrase = tuple[Standing, str]


def _words(plan: Plan) -> Iterator[tuple[Dimension, str, list[Step]]]:
    """Each word of the plan, and the plans with another in its place, named after that."""
    for row, old, exchanged_for in words_of(plan):
        yield row, old, [Step(new, exchanged_for(new)) for new in _alternatives(plan, row, old)]


def _alternatives(plan: Plan, row: Dimension, old: str) -> list[str]:
    words = dict.fromkeys((row.plainest, *row.usual))
    return [word for word in words if word != old and row.offered(word, {"filesystem": plan.filesystem})]


def _phrase(row: Dimension, old: str, outcomes: dict[str, bool | None]) -> Phrase:
    shown = [word for word, outcome in outcomes.items() if outcome]
    not_shown = [word for word, outcome in outcomes.items() if outcome is False]
    untested = [word for word, outcome in outcomes.items() if outcome is None]
    rest = f" ({_or(untested)}: not tested)" if untested else ""
    if not_shown:
        return Standing.needed, f"{_need(row, [old, *shown], not_shown)}{rest}"
    if untested:
        return Standing.untested, f"{row.noun} {_or([old, *shown])}{rest}"
    return Standing.free, f"any {row.noun}" if shown else f"{row.noun} {old}"


def _need(row: Dimension, shows: Sequence[str], not_shown: Sequence[str]) -> str:
    if row.name == "pin" and row.plainest in not_shown:
        others = [word for word in not_shown if word != row.plainest]
        return f"needs the pin: {_or(shows)} before the first store{f', not {_or(others)}' if others else ''}"
    if len(shows) > len(not_shown):
        return f"any {row.noun} but {_or(not_shown)}"
    return f"needs {row.noun} {_or(shows)}, not {_or(not_shown)}"


def _fault(plan: Plan, known: Known) -> Phrase:
    if plan.faults in ((), (NOTHING,)):
        return Standing.free, "no fault and no crash needed"
    named = " and ".join(f"{fault.name} ({FAULTS[fault.name].meaning})" for fault in plan.faults)
    kinds = [fault_class(fault.name) for fault in plan.faults]
    crash = "" if any(kind.may_lose_unsynced or kind.judges_crash_states for kind in kinds) else "; no crash needed"
    state = ": only a replayed crash state shows it" if any(kind.judges_crash_states for kind in kinds) else ""
    return _told(f"the fault {named}{crash}{state}", plan, known, fewer_faults, "without it")


def _operations(plan: Plan, known: Known) -> Iterator[Phrase]:
    """The operations that are left; a second store to the same pages is named."""
    for worker in plan.workers:
        done = ", ".join(f"{op.kind} {op.name}".strip() for op in worker.ops)
        these = "this operation" if len(worker.ops) == 1 else "these operations in this order"
        standing, text = _told(f"{these}: {done}", plan, known, fewer_operations, "with fewer")
        yield standing, text
        stores = [place for place, op in enumerate(worker.ops) if op.kind == "store"]
        between = [op.kind for op in worker.ops[stores[0] + 1 : stores[-1]]] if stores else []
        if standing is Standing.needed and set(between) - {"store"}:
            yield standing, "needs the re-store: the pages are stored to again after a writeback"


def _amounts(plan: Plan, known: Known) -> Iterator[Phrase]:
    pages = sum(worker.pages for worker in plan.workers)
    if pages == 1:
        yield Standing.needed, "one page is enough"
    else:
        yield _told(f"{pages} pages", plan, known, fewer_pages, "with fewer")
    if len(plan.workers) > 1:
        amount = f"{len(plan.workers)} workers on {len(plan.files)} file{'s' if len(plan.files) > 1 else ''}"
        yield _told(amount, plan, known, fewer_workers, "with fewer")


def _options(plan: Plan, known: Known) -> Iterator[Phrase]:
    if plan.mkfs_options:
        yield _told(f"the mkfs options {' '.join(plan.mkfs_options)}", plan, known, fewer_options, "without")
    if plan.mount_options:
        yield _told(f"the mount options {','.join(plan.mount_options)}", plan, known, fewer_options, "without")


def _told(what: str, plan: Plan, known: Known, shrinker: Shrinker, untested: str) -> Phrase:
    """`what` is needed if every plan with less of it was tested and did not fail."""
    if known.are_all_without([step.plan for step in shrinker(plan)]):
        return Standing.needed, f"needs {what}"
    return Standing.untested, f"{what} (not tested {untested})"


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

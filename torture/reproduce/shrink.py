"""The search for a smaller plan that fails as surely: a source of trials, which many guests work on at once.

First the plan is measured: until it failed `ENOUGH_FAILURES` times, the rate is known well enough to size the tests.
Then passes over the shrinkers: a candidate that fails as surely (torture.reproduce.sequential) is taken at once, and
the search goes on from there; a pass that took nothing proves that no single step is left. Guests that would wait for a
decision try later candidates in the meantime. Then the final plan is varied in single words, for
torture.reproduce.factors, and measured again. All that is not in the store already is `Position`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from torture.draw.arm import Arm
from torture.errors import BadRequest
from torture.plan import Plan
from torture.plan_check import read_plan
from torture.reproduce.factors import variations
from torture.reproduce.sequential import RateTest, Tally, rate_test
from torture.reproduce.shrinkers import SHRINKERS, Step
from torture.reproduce.signature import Likeness, likenesses, was_judged
from torture.results.store import Task, Trial

ENOUGH_FAILURES = 4
FEWEST_TRIALS = 5
MOST_TRIALS = 60
Phase = Literal["measure", "search", "vary", "confirm", "done"]


@dataclass(slots=True)
class Position:
    """Where a search stands."""

    plan: str
    """The smallest plan yet, as JSON."""
    phase: Phase = "measure"
    shrinker: int = 0
    """The place in SHRINKERS of the one at work."""
    took: bool = False
    """Whether this pass over the shrinkers took anything."""
    taken: list[str] = field(default_factory=list)
    """What was made simpler, in words."""
    sure: float = 0.0
    """The rate at which the plan failed when it was measured; see RateTest."""

    def __post_init__(self) -> None:
        """BadRequest for what no search stores."""
        is_measured = self.phase in ("search", "vary", "confirm")
        if not 0 <= self.sure < 1 or (is_measured and not self.sure):
            raise BadRequest(
                f"sure: {self.sure} is out of range", "allowed is more than 0, once it is measured, to less than 1"
            )


class Shrink:
    """A source. `target` None: what the plan shows most often while it is measured. `remember` is called with every
    new position."""

    def __init__(
        self,
        original: Plan,
        kernel: str,
        target: Likeness | None,
        *,
        before: Iterable[Trial] = (),
        first_number: int = 1,
        position: Position | None = None,
        remember: Callable[[Position], None] = lambda position: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.original, self.target = original, target
        self.position = position or Position(original.to_json())
        self.trials = 0
        self._kernel, self._remember, self._say = kernel, remember, say
        self._plan = read_plan(self.position.plan)
        self._shown: dict[str, Counter[Likeness]] = {}
        self._tried: Counter[str] = Counter()
        self._judged: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._number = first_number - 1
        self._candidates: list[tuple[int, Step]] = []
        self._candidates_of = ("", "")
        for trial in before:
            self._count(trial)

    # -- the source -----------------------------------------------------------------------------------------------

    def next(self) -> Task | None:
        """The trial that is most needed; None when the search has ended."""
        plan = self._most_needed()
        if plan is None:
            return None
        self._number += 1
        self._in_flight[plan.identity] += 1
        arm = Arm.measure if plan in (self.original, self.plan) else Arm.candidate
        return Task(self._number, arm, plan, self._kernel)

    def finished(self, trial: Trial) -> None:
        """Count it, and decide what can be decided."""
        self._in_flight[trial.plan.identity] -= 1
        self._count(trial)
        self._advance()

    @property
    def plan(self) -> Plan:
        """The smallest plan yet."""
        return self._plan

    @property
    def is_hopeless(self) -> bool:
        """Whether the plan did not fail often enough to be worked on."""
        return self.position.phase == "done" and self.tally(self.original).seen < ENOUGH_FAILURES

    @property
    def test(self) -> RateTest:
        """The test that decides on candidates; there is one once the plan is measured."""
        return RateTest(self.position.sure)

    def tally(self, plan: Plan) -> Tally:
        """What is known of a plan."""
        return self._tally(plan.identity)

    def decision(self, plan: Plan) -> bool | None:
        """Whether a plan fails as surely as the original; None while that is open."""
        return self.test.decide(self.tally(plan))

    def was_judged(self, plan: Plan) -> bool:
        """Whether any trial of a plan counts. The search leaves a plan of which none does (a layout that the fault
        cannot strike, for instance), but that it does not fail is not known."""
        return self._judged[plan.identity] > 0

    def _tally(self, identity: str) -> Tally:
        shown = self._shown.get(identity, Counter[Likeness]())
        seen = max(shown.values(), default=0) if self.target is None else shown[self.target]
        return Tally(seen, self._tried[identity])

    # -- what is needed -------------------------------------------------------------------------------------------

    def _most_needed(self) -> Plan | None:
        phase = self.position.phase
        if phase == "done":
            return None
        if phase == "measure":
            return self.original
        if phase == "confirm":
            return self._plan
        open_plans = [plan for plan in self._open() if self._wants_more(plan)]
        return open_plans[0] if open_plans else next(iter(self._open()), self._plan)

    def _open(self) -> Iterator[Plan]:
        """Undecided candidates, the next first."""
        for _, step in self._steps():
            if self.decision(step.plan) is None:
                yield step.plan

    def _steps(self) -> Iterator[tuple[int, Step]]:
        """Candidates and the places of their shrinkers, from the one at work on."""
        made_of = (self.position.phase, self._plan.identity)
        if made_of != self._candidates_of:
            shrinkers = (variations,) if self.position.phase == "vary" else SHRINKERS
            self._candidates_of = made_of
            self._candidates = [(place, step) for place, shrinker in enumerate(shrinkers) for step in shrinker(self._plan)]
        first = 0 if self.position.phase == "vary" else self.position.shrinker
        yield from (each for each in self._candidates if each[0] >= first)

    def _wants_more(self, plan: Plan) -> bool:
        return self._in_flight[plan.identity] < self.test.trials_to_decide(self.tally(plan))

    # -- decisions ------------------------------------------------------------------------------------------------

    def _count(self, trial: Trial) -> None:
        self.trials += 1
        identity = trial.plan.identity
        self._tried[identity] += 1
        self._judged[identity] += was_judged(trial)
        self._shown.setdefault(identity, Counter()).update(likenesses(trial))

    def _advance(self) -> None:
        """Take every decision that the tallies allow."""
        while self._advance_once():
            self.position.plan = self._plan.to_json()
            self._remember(self.position)

    def _advance_once(self) -> bool:
        match self.position.phase:
            case "measure":
                return self._end_measuring()
            case "search":
                return self._take() or self._end_pass()
            case "vary":
                return next(self._open(), None) is None and self._enter("confirm")
            case "confirm":
                return self.tally(self._plan).tried >= FEWEST_TRIALS and self._enter("done")
            case _:
                return False

    def _end_measuring(self) -> bool:
        tally = self.tally(self.original)
        if tally.seen >= ENOUGH_FAILURES and tally.tried >= FEWEST_TRIALS:
            if self.target is None:
                self.target = self._shown[self.original.identity].most_common(1)[0][0]
            self.position.sure = rate_test(tally).sure
            self._say(f"fails in {tally.seen} of {tally.tried} trials: {self.target.kind}; shrinking")
            return self._enter("search")
        return tally.tried >= MOST_TRIALS and self._enter("done")

    def _take(self) -> bool:
        """Take the first candidate that is known to fail as surely."""
        for place, step in self._steps():
            if self.decision(step.plan):
                self._plan = step.plan
                self.position.shrinker, self.position.took = place, True
                self.position.taken.append(step.what)
                self._say(f"{self.trials} trials: {step.what} is enough ({size(self._plan)})")
                return True
        return False

    def _end_pass(self) -> bool:
        """Go on to the next shrinker that has something open, the next pass, or out."""
        position = self.position
        for place, step in self._steps():
            if self.decision(step.plan) is None:
                changed = place != position.shrinker
                position.shrinker = place
                return changed
        if not position.took:
            return self._enter("vary")
        position.shrinker, position.took = 0, False
        return True

    def _enter(self, phase: Phase) -> bool:
        self.position.phase = phase
        return True


def size(plan: Plan) -> str:
    """How large a plan is, in words."""
    counts = (
        (len(plan.files), "file"),
        (len(plan.workers), "worker"),
        (sum(worker.pages for worker in plan.workers), "page"),
        (sum(len(worker.ops) for worker in plan.workers), "operation"),
    )
    return ", ".join(f"{number} {what}{'' if number == 1 else 's'}" for number, what in counts)

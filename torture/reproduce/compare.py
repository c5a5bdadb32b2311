"""Two sides of the same plans in random order: does the second show a failure of the first as often?

Sequential: after 8, 16, 32 ... pairs every signature is tested with Fisher's exact test. The chance of calling a
difference that is not there, `ALPHA`, is spent evenly over all looks and signatures (Bonferroni), so stopping early
does not raise it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from torture.draw.arm import Arm
from torture.lab.choose import KernelChoice
from torture.plan import Plan
from torture.plan_check import check
from torture.reproduce.signature import in_order, keys, was_judged
from torture.reproduce.verdict import Counts, Judged, judge, overall, table
from torture.results.groups import Key, could_show
from torture.results.statistics import wilson
from torture.results.store import Task, Trial

ALPHA = 0.01
FIRST_LOOK_PAIRS = 8


@dataclass(frozen=True, slots=True)
class Side:
    """One side: where it runs, and what it changes in a plan (None: nothing)."""

    name: str
    choice: KernelChoice
    kernel: str
    """The label of `choice`, as tasks name it."""
    filesystem: str | None = None
    mkfs_options: tuple[str, ...] | None = None
    mount_options: tuple[str, ...] | None = None

    def of(self, plan: Plan) -> Plan:
        """The plan as this side runs it. BadRequest if it cannot be carried out (torture.plan_check)."""
        changes: dict[str, Any] = {"filesystem": self.filesystem}
        changes |= {"mkfs_options": self.mkfs_options, "mount_options": self.mount_options}
        changed = replace(plan, **{name: value for name, value in changes.items() if value is not None})
        check(changed)
        return changed

    @property
    def label(self) -> str:
        """How the report names it."""
        parts = [self.kernel]
        parts += [f"fs {self.filesystem}"] if self.filesystem else []
        parts += [f"mkfs {' '.join(self.mkfs_options)!r}"] if self.mkfs_options is not None else []
        parts += [f"mount {','.join(self.mount_options)!r}"] if self.mount_options is not None else []
        return ", ".join(parts)


def looks(pairs: int) -> list[int]:
    """After how many pairs the counts are looked at: doubling, and at the end."""
    taken = []
    look = FIRST_LOOK_PAIRS
    while look < pairs:
        taken.append(look)
        look *= 2
    return [*taken, pairs]


@dataclass(slots=True)
class Comparison:
    """A source: each of `plans` on both sides."""

    sides: tuple[Side, Side]
    plans: Iterator[Plan]
    pairs: int
    """At most so many."""
    seed: int
    """Decides which side of a pair comes first."""
    expected: tuple[Key, ...] = ()
    """Signatures that A is known for."""
    fails: bool = False
    """Whether A is known to fail, maybe not how."""
    trials: list[Trial] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    """Filled at the look that ended it, or by `conclude`."""
    stopped_at: int = 0
    """How many trials there were at that look."""
    _waiting: list[Task] = field(default_factory=list)
    _plans_of: dict[int, Plan] = field(default_factory=dict)
    _given: int = 0

    def next(self) -> Task | None:
        """The other half of a pair, or a new pair."""
        if self.judged:
            return None
        if not self._waiting and self._given < 2 * self.pairs:
            self._waiting = self._new_pair()
        return self._waiting.pop(0) if self._waiting else None

    def finished(self, trial: Trial) -> None:
        """Count it; decide when a look is due."""
        if self.judged:
            return
        self.trials.append(trial)
        if len(self.trials) % 2 == 0 and len(self.trials) // 2 in looks(self.pairs):
            judged = self._look()
            if len(self.trials) == 2 * self.pairs or (judged and all(each.clear for each in judged)):
                self.judged, self.stopped_at = judged, len(self.trials)

    def conclude(self) -> None:
        """Judge what there is, when something else ended it: an interrupt, a time limit."""
        if not self.judged:
            self.judged, self.stopped_at = self._look(), len(self.trials)
        if not self.judged:
            self.judged = [judge(self._count(None), self._alpha(1), expected=self._is_about_a_fix)]

    @property
    def was_clear(self) -> bool:
        """Whether more trials would not have changed the verdict."""
        return all(each.clear for each in self.judged)

    def _new_pair(self) -> list[Task]:
        plan = next(self.plans)
        pair = list(zip((Arm.A, Arm.B), self.sides, strict=True))
        Random(f"{self.seed}/{self._given}").shuffle(pair)
        tasks = []
        for arm, side in pair:
            self._given += 1
            self._plans_of[self._given] = self.sides[0].of(plan)
            tasks.append(Task(self._given, arm, side.of(plan), side.kernel))
        return tasks

    def _alpha(self, signatures: int) -> float:
        return ALPHA / len(looks(self.pairs)) / signatures

    def _look(self) -> list[Judged]:
        """Every signature that is expected or was seen; none when nothing failed and nothing was expected to."""
        seen = {key for trial in self.trials if was_judged(trial) for key in self._keys(trial)}
        everything = dict.fromkeys((*self.expected, *in_order(seen)))
        counts = [self._count(key) for key in everything]
        alpha = self._alpha(len(everything)) if everything else 0.0
        judged = [judge(each, alpha, expected=self._is_expected(each)) for each in counts]
        if judged and self._is_about_a_fix and not any(each.a_seen for each in counts):
            judged.append(judge(self._count(None), alpha, expected=True))
        return judged

    @property
    def _is_about_a_fix(self) -> bool:
        """Whether A should fail and B may not: the same twice is compared only to see that nothing is seen."""
        differ = self.sides[0] != replace(self.sides[1], name=self.sides[0].name)
        return differ and (self.fails or bool(self.expected))

    def _is_expected(self, counts: Counts) -> bool:
        """Without a signature that A is known for, what it shows is taken for it."""
        return self._is_about_a_fix and (counts.key in self.expected if self.expected else counts.a_seen > 0)

    def _keys(self, trial: Trial) -> set[Key]:
        """Signatures under the filesystem's name in A, so that two filesystems can be compared."""
        return {replace(key, filesystem=self._plans_of[trial.number].filesystem) for key in keys(trial)}

    def _count(self, key: Key | None) -> Counts:
        tried, seen = {Arm.A: 0, Arm.B: 0}, {Arm.A: 0, Arm.B: 0}
        for trial in self.trials:
            if was_judged(trial) and (key is None or could_show(self._plans_of[trial.number], key)):
                tried[trial.arm] += 1
                found = self._keys(trial)
                seen[trial.arm] += key in found if key else bool(found)
        return Counts(key, seen[Arm.A], tried[Arm.A], seen[Arm.B], tried[Arm.B])


def render(comparison: Comparison) -> str:
    """The result in plain lines, the verdict last."""
    unjudged = sum(not was_judged(trial) for trial in comparison.trials)
    pairs = comparison.stopped_at // 2
    most = f"of at most {comparison.pairs}"
    lines = [f"A: {comparison.sides[0].label}", f"B: {comparison.sides[1].label}"]
    if comparison.was_clear and pairs < comparison.pairs:
        lines.append(f"Stopped after {pairs} pairs {most}: it is clear.")
    else:
        unclear = "" if comparison.was_clear else "; it did not become clear earlier"
        lines.append(f"{pairs} pairs {most}{unclear}.")
    lines.append(f"A difference is called wrongly in at most {ALPHA:.0%} of comparisons, all looks together.")
    lines += [f"{unjudged} trials could not be judged and do not count."] if unjudged else []
    return "\n".join([*lines, *table(comparison.judged), overall(comparison.judged).sentence])


def document(comparison: Comparison, facts: dict[str, Any]) -> dict[str, Any]:
    """The result for machines."""
    final = overall(comparison.judged)
    return {
        **facts,
        "a": comparison.sides[0].label,
        "b": comparison.sides[1].label,
        "pairs": comparison.stopped_at // 2,
        "clear": comparison.was_clear,
        "alpha": ALPHA,
        "verdict": final.verdict.value,
        "sentence": final.sentence,
        "signatures": [_signature(each) for each in comparison.judged],
    }


def _signature(each: Judged) -> dict[str, Any]:
    counts = each.counts
    return {
        **(asdict(counts.key) if counts.key else {"kind": "any"}),
        "a": {"seen": counts.a_seen, "tried": counts.a_tried, **asdict(wilson(counts.a_seen, counts.a_tried))},
        "b": {"seen": counts.b_seen, "tried": counts.b_tried, **asdict(wilson(counts.b_seen, counts.b_tried))},
        "p": counts.p,
        "verdict": each.verdict.value,
    }

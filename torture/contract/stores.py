"""The experiment that most clauses are rows of: steps on a mapping, and what became of the stores they made.

The rule is that of design.md section 2: without a crash a page is what was last accepted; after a crash it is what a
successful sync covered or anything stored after that; what is not there must have been reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum

from torture.contract import subject as looks
from torture.contract.actor import STORE, Hands, Step, StoreBy, Told, name_of
from torture.contract.experiment import Experiment
from torture.contract.subject import Subject
from torture.contract.verdict import Judgement, Verdict
from torture.rig.scene import Scene
from workloads.access import ACCESSES
from workloads.children import in_child

POWER_CUT = "power-cut"


class Refusal(Enum):
    """What it means that a store is refused: there was room, so it must not be; there was none, so it should be; or a
    filesystem may do without room, and differs if it cannot."""

    WRONG = "broken"
    DUE = "holds"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores(Experiment):
    """`steps`, in a child process that then exits if `exits`."""

    steps: tuple[Step, ...]
    refusal: Refusal = Refusal.WRONG
    exits: bool = False

    def prepare(self, subject: Subject) -> None:
        """Also what the access paths need."""
        subject.create(self.layout)
        for step in self.steps:
            if isinstance(step, StoreBy):
                ACCESSES[step.access].prepare(subject.path, 0, subject.pages, subject.page_bytes)

    def act(self, hands: Hands, scene: Scene) -> None:
        if not self.exits:
            self._walk(hands)
            return
        hands.end()
        hands.told = Told(**in_child(lambda: asdict(self._walk(Hands(hands.subject)))))

    def judge(self, subject: Subject, told: Told) -> Judgement:
        if self.layout == "reflinked":
            changed = Counter(look for look in subject.looks(subject.clone) if look != looks.BASE)
            if changed:
                return Judgement(Verdict.broken, f"the clone changed: {counted(changed)}")
        base = looks.BASE if self.layout in ("written", "reflinked") else looks.ZERO
        return judge_stores(subject.looks(), told, base=base, crash=self.stage == POWER_CUT, refusal=self.refusal)

    def _walk(self, hands: Hands) -> Told:
        for step in self.steps:
            step(hands)
        return hands.told


@dataclass(slots=True)
class _Page:
    """What one page may hold: generations, 0 for what it held before."""

    allowed: set[int] = field(default_factory=lambda: {0})
    refused: bool = False
    accepted: bool = False

    def store(self, generation: int, refused: bool, crash: bool) -> None:
        self.refused |= refused
        self.accepted |= not refused
        self.allowed = self.allowed | {generation} if refused or crash else {generation}

    def acknowledge(self) -> None:
        """After a successful sync only the last accepted generation will do; refused ones stay possible."""
        if self.accepted and not self.refused:
            self.allowed = {max(self.allowed)}

    def allows(self, look: str, base: str) -> bool:
        if look == base:
            return 0 in self.allowed
        if look.isdigit():
            return int(look) in self.allowed
        return self.refused and look.startswith("torn")


def judge_stores(seen: tuple[str, ...], told: Told, *, base: str, crash: bool, refusal: Refusal) -> Judgement:
    """Compare what the pages look like with what was told of their stores."""
    pages = [_Page() for _ in seen]
    errors: list[str] = []
    for name, *rest in told.events:
        if name == STORE:
            for number, page in enumerate(pages):
                page.store(rest[0], str(number) in rest[1], crash)
        elif rest[0]:
            errors.append(f"{name} {name_of(rest[0])}")
        elif not errors:
            for page in pages:
                page.acknowledge()
    bad = Counter(look for look, page in zip(seen, pages, strict=True) if not page.allows(look, base))
    return _conclude(bad, told, len(seen), errors, refusal)


def _conclude(bad: Counter[str], told: Told, pages: int, errors: list[str], refusal: Refusal) -> Judgement:
    story = _story(told, pages, errors)
    strange = set(bad) - {looks.ZERO, looks.BASE, looks.MISSING} - {look for look in bad if look.isdigit()}
    if strange:
        return Judgement(Verdict.broken, f"{story}, then {counted(bad)}")
    if bad:
        return Judgement(Verdict.late if errors else Verdict.broken, f"{story}, then {counted(bad)} after the remount")
    if told.refused:
        return Judgement(Verdict(refusal.value), f"{story}, nothing was lost")
    if errors and refusal is Refusal.WRONG:
        return Judgement(Verdict.broken, f"{story}, though there was room and no fault")
    return Judgement(Verdict.holds, f"{story}, nothing was lost")


def _story(told: Told, pages: int, errors: Iterable[str]) -> str:
    refusals = Counter(how for name, *rest in told.events if name == STORE for how in rest[1].values())
    stores = pages * sum(event[0] == STORE for event in told.events)
    parts = [f"{count} of {stores} stores refused with {how}" for how, count in sorted(refusals.items())]
    return ", ".join([*(parts or [f"{stores} stores accepted"]), *errors])


def counted(found: Counter[str]) -> str:
    """How many pages look how, in words."""
    words = {looks.ZERO: "zero", looks.BASE: "as before the stores", looks.MISSING: "missing", looks.FOREIGN: "foreign"}
    named = {look: words.get(look, f"generation {look}" if look.isdigit() else look) for look in found}
    return ", ".join(f"{count} page{'s' * (count > 1)} {named[look]}" for look, count in sorted(found.items()))

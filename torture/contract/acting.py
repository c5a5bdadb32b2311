"""Who carries out experiments: this process, or one without rights that keeps everything mapped until it is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from torture.contract.actor import Hands, Told
from torture.contract.experiment import Experiment
from torture.contract.subject import Subject
from torture.contract.verdict import Judgement, Verdict
from torture.rig.machine import Machine
from torture.rig.scene import Scene
from workloads import libc, limits
from workloads.children import Child, ChildBroke
from workloads.unsupported import Unsupported


@dataclass(slots=True)
class Case:
    """One experiment in one arm: what it was told, and, from when nothing more can change it, its judgement."""

    experiment: Experiment
    subject: Subject
    told: Told | None = None
    judgement: Judgement | None = None

    def perform(self, scene: Scene) -> Hands | None:
        """Let it act in this process; whatever it still has mapped is returned."""
        hands = None
        try:
            hands = Hands(self.subject)
            self.experiment.act(hands, scene)
            self.told = hands.told
        except Unsupported as error:
            self.judgement = Judgement(Verdict.notrun, str(error))
        except (OSError, ChildBroke) as error:
            self.judgement = Judgement(Verdict.unknown, f"{type(error).__name__}: {error}")
        return hands


def act_here(cases: Sequence[Case], scene: Scene) -> None:
    """One after the other, as root, each with its mapping gone at the end."""
    for case in cases:
        hands = case.perform(scene)
        if hands:
            hands.end()


@contextmanager
def acting_apart(cases: Sequence[Case], scene: Scene, machine: Machine, record: Path) -> Iterator[None]:
    """As the machine's user, in a process of its own that is there, with all mappings, until the context ends.

    `record` takes what they are told, line by line, so that a death in the middle costs only those that come after.
    """
    with open(record, "wb", buffering=0) as lines:
        child = Child(lambda: _act_all(cases, scene, machine, lines.fileno()), stays=True)
    try:
        try:
            child.result()
            silence = "it said nothing"
        except ChildBroke as error:
            silence = f"the process that acts died: {error.reason}"
        _take_in(cases, record, silence)
        yield
    finally:
        child.end()


def _act_all(cases: Sequence[Case], scene: Scene, machine: Machine, record: int) -> None:
    limits.set_memlock(limits.UNLIMITED)
    os.setgroups([])
    os.setgid(machine.gid)
    os.setuid(machine.uid)
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user clears it (prctl(2))
    for case in cases:
        case.perform(scene)  # what it mapped stays mapped: only MappedFile.close unmaps
        os.write(record, f"{json.dumps(_said(case))}\n".encode())


def _said(case: Case) -> dict[str, object]:
    return {
        "told": asdict(case.told) if case.told else None,
        "judgement": [case.judgement.verdict, case.judgement.words] if case.judgement else None,
    }


def _take_in(cases: Sequence[Case], record: Path, silence: str) -> None:
    said = [json.loads(line) for line in record.read_text().splitlines()]
    for case, line in zip(cases, said, strict=False):
        case.told = Told(**line["told"]) if line["told"] else None
        if line["judgement"]:
            case.judgement = Judgement(Verdict(line["judgement"][0]), line["judgement"][1])
    for case in cases[len(said) :]:
        case.judgement = Judgement(Verdict.unknown, silence)

"""What an experiment is: one class, or one row of a class, in a file of `torture.contract.clauses`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torture.contract.actor import Hands, Told
from torture.contract.subject import Subject
from torture.contract.verdict import Judgement
from torture.filesystems import Filesystem
from torture.rig.scene import Scene

PAGES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(ABC):
    """One deterministic experiment of `clause`, called `name`, in `stage` (torture.contract.stages).

    For each arm: `prepare` makes the file, as root; `act` stores, syncs and watches, and may be in an unprivileged
    process that is killed afterwards; `judge` sees the file after the stage has come to its end and a new mount.
    """

    clause: int
    name: str
    stage: str
    layout: str = "hole"
    pages: int = PAGES

    @property
    def pin_may_fail(self) -> bool:
        """Whether mlock may fail to populate the mapping (the pages stay marked as locked): judged by clauses 1 and 2
        themselves, and nobody's fault on a full filesystem."""
        return self.clause <= 2 or self.stage == "full"

    def missing(self, row: Filesystem) -> str:
        """Why it cannot be carried out on a filesystem, "" if it can; most is found by trying."""
        return ""

    def prepare(self, subject: Subject) -> None:
        """Make the file. Unsupported if the filesystem cannot."""
        subject.create(self.layout)

    @abstractmethod
    def act(self, hands: Hands, scene: Scene) -> None:
        """Do it; the record is `hands.told`. OSError is for what was not foreseen."""

    @abstractmethod
    def judge(self, subject: Subject, told: Told) -> Judgement:
        """What it comes to."""

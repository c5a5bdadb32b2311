"""What a fault is: when it strikes, what it needs, how it is mended, and how it proves that it fired."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from devicemapper.table import Table
from devicemapper.targets import Linear
from torture.errors import BadRequest
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene


@dataclass(frozen=True, slots=True)
class Parameter:
    """A whole-number parameter of a fault with its range, both ends included."""

    default: int
    lowest: int
    highest: int
    meaning: str


START, MIDDLE, LATE, END = "start", "middle", "late", "end"
"""Moments: before the first store; before the last store, when what came before is synced; after the last store; after
the last operation."""

AFTER_MS, AFTER_WRITES = "after_ms", "after_writes"
TIMES: Mapping[str, Parameter] = {
    AFTER_MS: Parameter(0, 0, 60_000, "strike so many milliseconds after the first store; 0: at a gate, or in the end"),
    AFTER_WRITES: Parameter(0, 0, 1 << 30, "strike when the device has completed so many writes since then; 0: as above"),
}
"""When a fault strikes that can do so amid what the workers do. What comes first counts."""


SHUT_DOWN = frozenset({errno.EIO, errno.EROFS, errno.ESHUTDOWN, errno.EUCLEAN})
"""What a filesystem says that stopped itself because of an error."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the fault fired, and the evidence in words. A fault that did not fire makes the trial `unknown`."""

    fired: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a trial has to do differently from the start."""

    mkfs: tuple[str, ...] = ()
    """Further words for mkfs."""
    mount: tuple[str, ...] = ()
    """Further mount options."""
    memlock_bytes: int | None = None
    """RLIMIT_MEMLOCK of the workers; None: the plan's."""
    fsize_bytes: int | None = None
    """RLIMIT_FSIZE of the workers; None: no limit."""


@dataclass(frozen=True, slots=True)
class Below:
    """The bottom of a block stack that is being built."""

    disk: Path
    length_sectors: int
    """The size of `disk` and of the whole stack."""
    spares: tuple[Path, ...]
    name: str
    """How the names of devices between the disk and the top begin."""
    held: ExitStack
    """Such devices are entered here, and removed after the top is."""


class Fault:
    """Base of all faults: does nothing. One subclass per fault, one file each, registered in `torture.faults`.

    Class attributes say when it strikes, what it excuses and what it needs; each is explained under it.
    """

    name: ClassVar[str]
    """What plans and the command line call it."""
    meaning: ClassVar[str]
    """One line of help."""
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    """Whole numbers that a plan may set."""
    canary: ClassVar[bool] = False
    """It plants a loss, which the tool must find."""

    # When it strikes.

    strikes_before_stores: ClassVar[bool] = False
    """Before the first store, instead of at a gate or after the last operation."""
    moments: ClassVar[tuple[str, ...]] = (END,)
    """Where among the operations a drawn plan may let it strike (torture.faults.gates), the plainest first."""
    rounds: ClassVar[int] = 0
    """How often it heals while the workers go on; it strikes again after each heal but the last."""
    gate_timeout_s: ClassVar[float] = 60.0
    """How long the workers may take to come to the gate where it heals; those that are late are not waited for."""

    # What it excuses.

    may_lose_unsynced: ClassVar[bool] = False
    """Content that no successful sync vouches for may be gone afterwards, as after a crash."""
    judges_crash_states: ClassVar[bool] = False
    """Nothing crashes in the trial itself, and disks that a crash could have left are judged after it."""
    readable_warm: ClassVar[bool] = True
    """Before the unmount the files can be read, and what they show can be judged."""
    loses_later_writes: ClassVar[bool] = False
    """What is written after the strike may be gone when it is read again: where workers went on, nothing is read warm."""
    kills_workers: ClassVar[bool] = False
    """A worker that ends by SIGKILL did not fail."""
    excused_errnos: ClassVar[frozenset[int]] = frozenset()
    """A worker that the filesystem turns away with one of these did not fail. With EIO among them reads may fail until the
    unmount, and a pin of what cannot be read never returns."""
    excused_pin_errnos: ClassVar[frozenset[int]] = frozenset()
    """A pin may fail with one of these."""

    # What it needs, and what cannot be had while it is in force.

    needs: ClassVar[tuple[str, ...]] = ()
    """Features that the filesystem must claim (torture.filesystems.base.FEATURES)."""
    targets: ClassVar[frozenset[str]] = frozenset()
    """Device-mapper targets, or features of one such as "flakey drop_writes"."""
    for_volatile: ClassVar[bool] = False
    """A canary of filesystems in memory; all other canaries need a disk."""
    refuses_reads: ClassVar[bool] = False
    """File data cannot be read until it heals."""
    refuses_metadata: ClassVar[bool] = False
    """Metadata cannot be written until the unmount."""

    def __init__(self, given: Mapping[str, int | str]) -> None:
        taken = self.taken()
        unknown = set(given) - set(taken)
        if unknown:
            raise BadRequest(
                f"fault {self.name} has no parameter {', '.join(sorted(unknown))}",
                f"it takes {', '.join(taken) or 'none'}",
            )
        self.values = {name: _value(self.name, name, parameter, given) for name, parameter in taken.items()}

    @classmethod
    def at_any_time(cls) -> bool:
        """Whether it can strike while the workers are at it."""
        return MIDDLE in cls.moments and not cls.rounds

    @classmethod
    def taken(cls) -> Mapping[str, Parameter]:
        """All parameters: its own, and when it strikes."""
        return {**cls.parameters, **TIMES} if cls.at_any_time() else cls.parameters

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """Why it cannot strike `row` on `machine`, "" if it can; whether its targets are there is asked elsewhere."""
        return row.lacking(*cls.needs)

    def options(self, row: Filesystem) -> Options:
        """What it needs of mkfs, mount and the limits of workers."""
        return Options()

    def below(self, stack: Below) -> Path:
        """The device that the table of the stack is built on: the disk, or one of its own making on that."""
        return stack.disk

    def table(self, disk: str, length_sectors: int) -> Table:
        """The healthy table of the stack."""
        return Table.single(Linear(disk, 0), length_sectors)

    def swap_back(self, scene: Scene) -> None:
        """Put the healthy table in force again."""
        scene.swap(self.table(str(scene.disk), scene.length_sectors))

    def arm(self, scene: Scene) -> None:
        """After the layout is on disk and before the workers start."""

    def strike(self, scene: Scene) -> None:
        """At the plan's moment; again after each `heal` but the last."""

    def heal(self, scene: Scene) -> None:
        """At the plan's gates for it, each after a strike: the workers go on, and what they sync from now on must hold."""

    def while_working(self, scene: Scene) -> None:
        """While the workers store and sync; it may wait for something, but not for long."""

    def before_reading(self, scene: Scene) -> None:
        """When the workers are done and the fault has struck, before anything is read."""

    def mend(self, scene: Scene) -> None:
        """After the unmount and before the next mount."""

    def remounted(self, scene: Scene) -> None:
        """After that mount, before anything is read cold."""

    def proof(self, scene: Scene) -> Proof:
        """Asked before the unmount, or of a canary and of a fault with `targets` after `mend`. If a fault without targets
        stands before one that may lose what is not synced, it is asked right before that one strikes."""
        return Proof(True, "nothing to fire")


def _value(fault: str, name: str, parameter: Parameter, given: Mapping[str, int | str]) -> int:
    value = given.get(name, parameter.default)
    if not isinstance(value, int) or not parameter.lowest <= value <= parameter.highest:
        raise BadRequest(
            f"{fault}:{name}={value} is out of range",
            f"allowed are whole numbers from {parameter.lowest} to {parameter.highest} ({parameter.meaning})",
        )
    return value

"""What a fault is: when it strikes, what it needs, how it is mended, and how it proves that it fired."""

from __future__ import annotations

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
"""Moments: before the first store, before the last store (what came before it is synced), after the last store, after
everything."""

AFTER_MS, AFTER_WRITES = "after_ms", "after_writes"
TIMES: Mapping[str, Parameter] = {
    AFTER_MS: Parameter(0, 0, 60_000, "strike so many milliseconds after the first store; 0: at a gate, or in the end"),
    AFTER_WRITES: Parameter(0, 0, 1 << 30, "strike when the device has completed so many writes since then; 0: as above"),
}
"""When a fault strikes that can do so amid what the workers do. What comes first counts."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the fault fired, and the evidence in words. A fault that did not fire makes the trial `unknown`."""

    fired: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Options:
    """Further words for mkfs and mount, and limits of the workers in bytes (setrlimit(2)), None for the plan's."""

    mkfs: tuple[str, ...] = ()
    mount: tuple[str, ...] = ()
    memlock_bytes: int | None = None
    fsize_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Below:
    """The bottom of a block stack that is being built: `disk` of `length_sectors`, spare disks, and a name for devices
    between it and the top, which are entered into `held` and undone after it."""

    disk: Path
    length_sectors: int
    spares: tuple[Path, ...]
    name: str
    held: ExitStack


class Fault:
    """Base of all faults: does nothing. One subclass per fault, one file each, registered in `torture.faults`.

    `targets` are the device-mapper targets it needs, or features as "flakey drop_writes"; `crash` means unsynced
    content may be lost; `replays` that crash states are judged, though nothing crashes in the trial itself; `canary`
    means it plants a loss that must be found; `strikes_first` means it strikes before the first store instead of at the
    gate or after the last operation, `moments` where in the work a drawn plan may let it strike (torture.faults.gates), the
    first the plainest; `rounds` how often it heals while the workers go on, after it has waited `patience_s` for them to
    come to a gate; without `readable_warm` the files cannot be read, or not be judged, before the unmount; `forgets`:
    nor where workers went on after the strike, because what was written since then and is read again is not there.
    `kills_workers`: those that it kills are missed by nobody. `for_volatile`: a canary of filesystems in memory.
    `refuses_metadata`: metadata cannot be written until the unmount.
    With an errno of `refuses` the filesystem may turn workers away, with one of `refuses_pins` their pins; with EIO
    among the first, reads may fail until the unmount, and a pin of what cannot be read never returns.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    targets: ClassVar[frozenset[str]] = frozenset()
    parameters: ClassVar[Mapping[str, Parameter]] = {}
    crash: ClassVar[bool] = False
    replays: ClassVar[bool] = False
    canary: ClassVar[bool] = False
    strikes_first: ClassVar[bool] = False
    readable_warm: ClassVar[bool] = True
    moments: ClassVar[tuple[str, ...]] = ("end",)
    forgets: ClassVar[bool] = False
    rounds: ClassVar[int] = 0
    patience_s: ClassVar[float] = 60.0
    kills_workers: ClassVar[bool] = False
    for_volatile: ClassVar[bool] = False
    refuses_metadata: ClassVar[bool] = False
    refuses: ClassVar[frozenset[int]] = frozenset()
    refuses_pins: ClassVar[frozenset[int]] = frozenset()

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
        return ""

    def options(self, row: Filesystem) -> Options:
        """What it needs of mkfs, mount and the limits of workers."""
        return Options()

    def below(self, stack: Below) -> Path:
        """The device that the table of the stack is built on: the disk, or one of its own making on that."""
        return stack.disk

    def table(self, disk: str, length_sectors: int) -> Table:
        """The healthy table of the stack."""
        return Table.single(Linear(disk, 0), length_sectors)

    def arm(self, scene: Scene) -> None:
        """After the layout is on disk and before the workers start."""

    def strike(self, scene: Scene) -> None:
        """At the plan's moment; again after each `heal` but the last."""

    def heal(self, scene: Scene) -> None:
        """At the plan's gates for it, each after a strike: the workers go on, and what they sync from now on must hold."""

    def during(self, scene: Scene) -> None:
        """While the workers store and sync; it may wait for something, but not for long."""

    def relent(self, scene: Scene) -> None:
        """When the workers are done and the fault has struck, before anything is read."""

    def mend(self, scene: Scene) -> None:
        """After the unmount and before the next mount."""

    def remounted(self, scene: Scene) -> None:
        """After that mount, before anything is read cold."""

    def proof(self, scene: Scene) -> Proof:
        """Called when the workers are done and the filesystem still mounted, or, with `targets`, after the unmount; if a
        crash comes after it in the composition, right before that strikes."""
        return Proof(True, "nothing to fire")


def _value(fault: str, name: str, parameter: Parameter, given: Mapping[str, int | str]) -> int:
    value = given.get(name, parameter.default)
    if not isinstance(value, int) or not parameter.lowest <= value <= parameter.highest:
        raise BadRequest(
            f"{fault}:{name}={value} is out of range",
            f"allowed are whole numbers from {parameter.lowest} to {parameter.highest} ({parameter.meaning})",
        )
    return value

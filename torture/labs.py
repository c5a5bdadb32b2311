"""Chooses and makes the labs that an order names, and refuses what cannot run before anything is made."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torture.errors import BadRequest, MissingRequirement
from torture.ground import has_device_mapper
from torture.lab.local import LocalLab
from torture.lab.uml import UmlLab, check_kernel

if TYPE_CHECKING:
    from torture.order import Order

UML, LOCAL = "uml", "local"
CANARY_WITH_DEVICE_MAPPER, CANARY_WITHOUT = "lying-disk", "stale-disk"


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """A kernel of the uml lab: a path, or "" for the packaged one, and what is added to its command line."""

    path: str
    arguments: tuple[str, ...]

    @property
    def label(self) -> str:
        """How tasks and reports name it."""
        return " ".join((self.path or "packaged", *self.arguments))


def make_labs(order: Order, run_id: str, results: Path) -> dict[str, UmlLab | LocalLab]:
    """The labs of an order by name: one for each kernel, or the local one."""
    if order.lab == LOCAL:
        if any(choice != KernelChoice("", ()) for choice in order.kernels):
            raise BadRequest("--kernel and --kernel-arg choose a guest's kernel", "leave them out with --lab local")
        labs: dict[str, UmlLab | LocalLab] = {LOCAL: local_lab(run_id, results, order.scratch, order.destroy)}
    else:
        if order.destroy:
            raise BadRequest("--destroy gives a device to the local lab", "use it with --lab local")
        labs = {choice.label: uml_lab(run_id, results, order.scratch, choice) for choice in order.kernels}
    for lab in labs.values():
        if reason := lab.unavailable():
            raise MissingRequirement(
                f"lab {lab.name} cannot run: {reason}", "`torture doctor` shows what can run here"
            )
    return labs


def uml_lab(run_id: str, results: Path, scratch: Path, choice: KernelChoice) -> UmlLab:
    """Guests of one kernel."""
    path = check_kernel(choice.path) if choice.path else ""
    return UmlLab(run_id, results, scratch, mmap.PAGESIZE, path, choice.arguments)


def local_lab(run_id: str, results: Path, scratch: Path, device: Path | None) -> LocalLab:
    """Agents on this kernel."""
    return LocalLab(run_id, results, scratch, mmap.PAGESIZE, device)


def canary_fault(order: Order) -> str:
    """The plant that works in the order's lab."""
    if order.lab != LOCAL or has_device_mapper(""):
        return CANARY_WITH_DEVICE_MAPPER
    return CANARY_WITHOUT

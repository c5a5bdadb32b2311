"""Chooses and makes the labs that an order names, and refuses what cannot run before anything is made."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torture.errors import BadRequest, MissingRequirement
from torture.lab.guest_lab import GuestLab
from torture.lab.local import LocalLab
from torture.lab.qemu import QemuLab, is_boot_image
from torture.lab.uml import UmlLab
from torture.rig.machine import has_device_mapper

if TYPE_CHECKING:
    from torture.campaign.run_config import Order

UML, QEMU, LOCAL = "uml", "qemu", "local"
_WITH_KERNEL: Mapping[str, type[GuestLab]] = {UML: UmlLab, QEMU: QemuLab}
LABS = (*_WITH_KERNEL, LOCAL)
CANARY_WITH_DEVICE_MAPPER, CANARY_WITHOUT = "lying-disk", "stale-disk"


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """A guest's kernel: a path, or "" for the lab's default, and what is added to its command line."""

    path: str
    arguments: tuple[str, ...]

    @property
    def label(self) -> str:
        """How tasks and reports name it."""
        return " ".join((self.path or "packaged", *self.arguments))


def lab_for(*kernels: str) -> str:
    """The lab that can run kernels, given as paths, if none is named: qemu for bootable images, else uml."""
    return QEMU if any(map(is_boot_image, kernels)) else UML


def make_labs(order: Order, run_id: str, results: Path) -> dict[str, GuestLab | LocalLab]:
    """The labs of an order by name: one for each kernel, or the local one."""
    labs: dict[str, GuestLab | LocalLab]
    if order.lab == LOCAL:
        if any(choice != KernelChoice("", ()) for choice in order.kernels):
            raise BadRequest("--kernel and --kernel-arg choose a guest's kernel", "leave them out with --lab local")
        labs = {LOCAL: local_lab(run_id, results, order.scratch, order.destroy)}
    else:
        if order.destroy:
            raise BadRequest("--destroy gives a device to the local lab", "use it with --lab local")
        labs = {choice.label: guest_lab(order.lab, run_id, results, order.scratch, choice) for choice in order.kernels}
    for lab in labs.values():
        if reason := lab.unavailable():
            raise MissingRequirement(f"lab {lab.name} cannot run: {reason}", "`torture doctor` shows what can run here")
    return labs


def guest_lab(name: str, run_id: str, results: Path, scratch: Path, choice: KernelChoice) -> GuestLab:
    """Guests of one kernel in the lab `name`."""
    kind = _WITH_KERNEL[name]
    path = kind.check_kernel(choice.path) if choice.path else ""
    return kind(run_id, results, scratch, mmap.PAGESIZE, path, choice.arguments)


def local_lab(run_id: str, results: Path, scratch: Path, device: Path | None) -> LocalLab:
    """Agents on this kernel."""
    return LocalLab(run_id, results, scratch, mmap.PAGESIZE, device)


def canary_fault(order: Order) -> str:
    """The plant that works in the order's lab."""
    if order.lab != LOCAL or has_device_mapper(""):
        return CANARY_WITH_DEVICE_MAPPER
    return CANARY_WITHOUT

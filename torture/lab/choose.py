"""Chooses and makes the labs that a user names, and refuses what cannot run before anything is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torture.errors import BadRequest, MissingRequirement
from torture.lab.base import Lab
from torture.lab.guest_lab import GuestLab
from torture.lab.local import LocalLab
from torture.lab.qemu import QemuLab, is_boot_image
from torture.lab.uml import UmlLab

UML, QEMU, LOCAL = "uml", "qemu", "local"
_WITH_KERNEL: Mapping[str, type[GuestLab]] = {UML: UmlLab, QEMU: QemuLab}
LAB_CLASSES: Mapping[str, type[GuestLab] | type[LocalLab]] = {**_WITH_KERNEL, LOCAL: LocalLab}
LABS = tuple(LAB_CLASSES)
"""What `--lab` takes."""


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """A guest's kernel: its path ("" is the lab's default), and the arguments that are added to its command line."""

    path: str
    arguments: tuple[str, ...]

    @property
    def label(self) -> str:
        """How tasks and reports name it, but for that of the local lab (`kernel_label`)."""
        return " ".join((self.path or "packaged", *self.arguments))


def kernel_label(lab: str, choice: KernelChoice) -> str:
    """How tasks and reports name the kernel of a lab."""
    return LOCAL if lab == LOCAL else choice.label


def lab_for(*kernels: str) -> str:
    """The lab that can run kernels, given as paths, if none is named: qemu for bootable images, else uml."""
    return QEMU if any(map(is_boot_image, kernels)) else UML


def make_labs(
    lab: str, kernels: Sequence[KernelChoice], scratch: Path, destroy: Path | None, *, run_id: str, results: Path
) -> dict[str, GuestLab | LocalLab]:
    """Labs by the label of their kernel: one for each of `kernels`, or the local one, on device `destroy` if given.

    BadRequest for what does not go together, MissingRequirement for what cannot run here.
    """
    labs: dict[str, GuestLab | LocalLab]
    if lab == LOCAL:
        if any(choice != KernelChoice("", ()) for choice in kernels):
            raise BadRequest("--kernel and --kernel-arg choose a guest's kernel", "leave them out with --lab local")
        labs = {LOCAL: LocalLab(run_id, results, scratch, destroy)}
    else:
        if destroy:
            raise BadRequest("--destroy gives a device to the local lab", "use it with --lab local")
        labs = {choice.label: guest_lab(lab, run_id, results, scratch, choice) for choice in kernels}
    for each in labs.values():
        if reason := each.unavailable():
            raise MissingRequirement(f"lab {each.name} cannot run: {reason}", "`torture doctor` shows what can run here")
    return labs


def all_labs(kernel: str, run_id: str, results: Path, scratch: Path) -> list[Lab]:
    """Every lab with its default kernel; with a `kernel`, only the one that it is for. They may not be able to run."""
    names = [lab_for(kernel)] if kernel else [UML, QEMU]
    guests = [guest_lab(name, run_id, results, scratch, KernelChoice(kernel, ())) for name in names]
    return [*guests, *([] if kernel else [LocalLab(run_id, results, scratch)])]


def guest_lab(name: str, run_id: str, results: Path, scratch: Path, choice: KernelChoice) -> GuestLab:
    """Guests of one kernel in the lab `name`."""
    kind = _WITH_KERNEL[name]
    path = kind.check_kernel(choice.path) if choice.path else ""
    return kind(run_id, results, scratch, path, choice.arguments)

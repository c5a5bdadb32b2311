"""A filesystem as it was really made and mounted, whatever it was asked for. Read where it is mounted, in words that the
tables of the rows (`Filesystem.takes`) and people understand: "mounted with nobarrier", "made with ^extent"."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from devicemapper import mounts
from devicemapper.in_use import kernel_name
from torture.errors import StepFailed


@dataclass(frozen=True, slots=True)
class Mounted:
    """What a family may look at."""

    device: Path
    place: Path
    """Its mount point."""
    options: tuple[str, ...]
    """As /proc/self/mountinfo shows them."""

    @property
    def kernel_name(self) -> str:
        """What the kernel calls the device, such as dm-0, in /sys and /proc."""
        return kernel_name(self.device)


Reading = Callable[[Mounted], Iterable[str]]
"""What a family can tell of a filesystem of its own, besides its mount options."""


def look(device: Path, place: Path, reading: Reading) -> tuple[str, ...]:
    """All that is known of the filesystem of `device` that is mounted at `place`."""
    options = [mount.options for mount in mounts.all_mounts() if mount.mount_point == place.resolve()]
    if not options:
        raise StepFailed("read mountinfo", f"{place} is not mounted")
    mounted = Mounted(device, place, options[-1])
    return (*(f"mounted with {option}" for option in mounted.options), *reading(mounted))

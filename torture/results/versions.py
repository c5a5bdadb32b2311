"""versions.json of a finding: what it was seen with. Written when a finding is kept; whoever reads it believes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from verify import codec

VERSIONS = "versions.json"
"""Name of the file."""


def _optional() -> str | None:
    """A field that need not be known."""
    known: str | None = field(default=None, metadata=codec.OPTIONAL)
    return known


@dataclass(frozen=True, slots=True)
class Versions:
    """Texts, all of them for people; None is not known."""

    lab: Literal["uml", "qemu", "local"]
    kernel_path: str
    """The file of the kernel; in the local lab, words."""
    arguments: str | None = _optional()
    """What was added to the kernel's command line."""
    kernel: str | None = _optional()
    """Its release (uname(2))."""
    mkfs: str | None = _optional()
    """What mkfs calls itself."""
    mkfs_options: str | None = _optional()
    mount_options: str | None = _optional()

    @property
    def known(self) -> dict[str, str]:
        """Those that are known, by name."""
        return {name: text for name, text in asdict(self).items() if text is not None}

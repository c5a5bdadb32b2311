"""A thin pool without free metadata below the filesystem: blocks there are, but none can be handed out any more."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import ClassVar

from torture.errors import StepFailed
from torture.faults.base import Parameter, Proof
from torture.faults.probe import write_probe
from torture.faults.thin_pool import OnThinPool
from torture.scene import Scene
from verify import ledger

_PROBE_BYTES = 8 << 20


class ThinMetadata(OnThinPool):
    """As with a full pool; afterwards the metadata device is extended."""

    name = "thin-metadata"
    meaning = "the thin pool below has no free metadata, and writes that need a block fail"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "free_blocks": Parameter(0, 0, 1 << 20, "free metadata blocks of 4 KiB to leave")
    }
    metadata_sectors = 2 << 11
    crash = True
    strikes_first = True
    readable_warm = False
    refuses: ClassVar[frozenset[int]] = frozenset(
        {errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESHUTDOWN, errno.EUCLEAN}
    )

    _mode = ""

    def arm(self, scene: Scene) -> None:
        """Everything that was laid out has its blocks."""
        self.provisioned(scene)

    def strike(self, scene: Scene) -> None:
        """Use up the metadata. Syncs still prove what they say."""
        scene.ledger.append(ledger.Struck(self.name, crash=True))
        made = self.pool.take_metadata(self.values["free_blocks"])
        scene.note(f"{made} further thin devices use up the metadata: {self.pool.status()}")

    def relent(self, scene: Scene) -> None:
        """The workers may have found room in what was handed out before: then a write of the tool's own meets the end."""
        scene.note(f"a probe write of {_PROBE_BYTES >> 20} MiB gave {write_probe(scene, _PROBE_BYTES) or 'no error'}")

    def mend(self, scene: Scene) -> None:
        """Extend the metadata."""
        self._mode = self.pool.status().mode
        self.pool.extend_metadata(4 * self.metadata_sectors)
        if (mode := self.pool.status().mode) != "rw":
            raise StepFailed("mend the thin pool", f"its mode is {mode} though its metadata was extended")

    def proof(self, scene: Scene) -> Proof:
        """It fired when the pool had to refuse."""
        return Proof(self._mode == "ro", f"mode of the pool after the unmount: {self._mode}")

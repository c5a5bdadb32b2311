"""Canary of a filesystem in memory: when the workers are gone, zeros are written over everything that they stored."""

from __future__ import annotations

import os

from torture.errors import NotRun
from torture.faults.base import Fault, Proof
from torture.filesystems import Filesystem
from torture.rig.machine import Machine
from torture.rig.scene import Scene


class ZeroedFile(Fault):
    """A planted loss of everything, through write(2): the files stay mounted."""

    name = "zeroed-file"
    meaning = "canary: zeros are written over the files; must be found"
    canary = True
    for_volatile = True

    _zeroed_bytes = 0

    @classmethod
    def missing(cls, row: Filesystem, machine: Machine) -> str:
        """Elsewhere the files cannot be reached when the loss is planted."""
        return "" if row.volatile else f"{row.name} is not mounted at that time"

    def mend(self, scene: Scene) -> None:
        """Lose it all."""
        for file in scene.files:
            path = scene.files_directory / file.name
            size_bytes = path.stat().st_size
            with open(path, "r+b", buffering=0) as content:
                content.write(bytes(size_bytes))
                os.fsync(content.fileno())
            self._zeroed_bytes += size_bytes
        if not self._zeroed_bytes:
            raise NotRun("there is nothing that could be lost")

    def proof(self, scene: Scene) -> Proof:
        """It fired when something was overwritten."""
        return Proof(self._zeroed_bytes > 0, f"{self._zeroed_bytes} bytes overwritten with zeros")

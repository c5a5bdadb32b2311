"""Shared by the canaries that damage the disk under a file after the unmount: which page, and what must be found.

What was planted is left in planted.json, by page and sector; `torture.judge` passes the canary when the cold read found
exactly that. Works in every lab, on filesystems that tell where their extents are and keep no checksums of data.
"""

from __future__ import annotations

import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import ClassVar

from torture.errors import NotRun
from torture.faults.base import Fault, Proof
from torture.rig.scene import Scene
from verify import codec, ledger, stamp
from verify.completed import completed
from verify.descriptors import opened, read_kept
from verify.finding import FindingKind
from verify.ledger_file import read_ledger
from verify.numbers import U32, PageIndex, Sectors
from workloads.extents import extents

PLANTED = "planted.json"


@dataclass(frozen=True, slots=True)
class Planted:
    """Damage of `kind` to the sectors (bit i: sector i) of one page."""

    kind: FindingKind
    file: U32
    page: PageIndex
    sectors: Sectors


@dataclass(frozen=True, slots=True)
class Place:
    """A page that was stored, in generation `generation` by `writer`, and where it lies on the device."""

    file: int
    page: int
    generation: int
    writer: int
    device_bytes: int


class Damage(Fault):
    """A canary that leaves in planted.json what must be found: pages in `kind` of damage."""

    canary = True
    kind: ClassVar[FindingKind]

    _places: tuple[Place, ...] = ()


class PlantedDamage(Damage, ABC):
    """A subclass says the `kind` that must be found, and what one page of each file is turned into after the unmount."""

    needs = ("extents", "raw-data")

    def before_reading(self, scene: Scene) -> None:
        """Choose one page of each file, while the filesystem is mounted."""
        os.sync()
        self._places = tuple(_places(scene))
        if not self._places:
            raise NotRun("no page was stored that lies on the device")

    def mend(self, scene: Scene) -> None:
        """Do the damage, and write down what must be found."""
        page = memoryview(mmap.mmap(-1, scene.plan.page_bytes))
        planted = []
        with opened(scene.block_device, os.O_RDWR | os.O_DIRECT) as descriptor:
            for place in self._places:
                os.preadv(descriptor, [page], place.device_bytes)
                sectors = self.damage(page, place, scene)
                os.pwritev(descriptor, [page], place.device_bytes)
                planted.append(Planted(self.kind, place.file, place.page, sectors))
        leave(planted, scene)

    @abstractmethod
    def damage(self, page: memoryview, place: Place, scene: Scene) -> int:
        """Change the page in place; returns the sectors that were changed."""

    def proof(self, scene: Scene) -> Proof:
        """It fired when pages were damaged."""
        return Proof(bool(self._places), f"{len(self._places)} pages damaged on the disk")


def leave(damage: Iterable[Planted], scene: Scene) -> None:
    """Write down for the judge what must be found."""
    (scene.directory / PLANTED).write_text(codec.encode(list(damage)))


def planted(directory: Path) -> tuple[Planted, ...]:
    """What was planted in the trial of `directory`; nothing if no such canary ran."""
    path = directory / PLANTED
    return codec.decode(tuple[Planted, ...], read_kept(path)) if path.exists() else ()


def stamped(place: Place, scene: Scene, *, page: int, generation: int, kind: stamp.Kind = stamp.Kind.STORE) -> bytes:
    """A whole page of stamps of the file, or of no file for the kind FOREIGN."""
    return stamp.page(
        run=scene.plan.stamp_run,
        file=stamp.FOREIGN_FILE if kind is stamp.Kind.FOREIGN else place.file,
        page=page,
        generation=generation,
        writer=place.writer,
        kind=kind,
        page_bytes=scene.plan.page_bytes,
    )


def _places(scene: Scene) -> Iterator[Place]:
    """The first page of each file that was stored whole and has a block."""
    for _, places in groupby(stored_places(scene), lambda place: place.file):
        yield next(places)


def stored_places(scene: Scene) -> Iterator[Place]:
    """Every page that was stored whole and has a block, by file and page, with what was stored there last."""
    stored = _stored_whole(scene)
    for file in scene.files:
        device = {
            (each.offset_bytes + at) // scene.plan.page_bytes: each.device_bytes + at
            for each in extents(scene.files_directory / file.name)
            if not each.unwritten
            for at in range(0, each.length_bytes, scene.plan.page_bytes)
        }
        for page in sorted(page for number, page in stored if number == file.file and page in device):
            generation, writer = stored[file.file, page]
            yield Place(file.file, page, generation, writer, device[page])


def stored_whole_only(scene: Scene) -> bool:
    """Whether every store was of whole pages."""
    stores = (each for each in read_ledger(scene.ledger_path) if isinstance(each, ledger.Store))
    return all((each.lo, each.hi) == (0, scene.plan.page_bytes) and not each.crossing for each in stores)


def _stored_whole(scene: Scene) -> dict[tuple[int, int], tuple[int, int]]:
    """(generation, worker) of the last store to each (file, page)."""
    stored: dict[tuple[int, int], tuple[int, int]] = {}
    for each in completed(read_ledger(scene.ledger_path)):
        store = each.store
        if (store.lo, store.hi) == (0, scene.plan.page_bytes) and not each.refused:
            pages = range(store.first_page, store.first_page + store.pages)
            stored |= {(store.file, page): (store.generation, store.worker) for page in pages}
    return stored

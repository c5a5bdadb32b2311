"""The file of one experiment in one arm, and what its pages look like when they are read back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from verify import stamp
from verify.stamp import Look, SectorLook
from workloads import layouts

ZERO, BASE, MISSING, FOREIGN = "zero", "base", "missing", "foreign"


@dataclass(frozen=True, slots=True)
class Subject:
    """`pages` pages of file `path`, which has number `file` in stamps of `run`; mapped with `pin` (workloads.pins)."""

    path: Path
    file: int
    run: int
    pages: int
    pin: str
    page_bytes: int

    @property
    def size_bytes(self) -> int:
        """Of the mapped pages."""
        return self.pages * self.page_bytes

    @property
    def clone(self) -> Path:
        """Where the layout `reflinked` puts the clone."""
        return self.path.with_name(self.path.name + ".clone")

    def create(self, layout: str) -> None:
        """Make the file in a layout of workloads.layouts, synced. Unsupported if the filesystem refuses it."""
        place = (self.path.parent, self.path.name)
        layouts.create(layout, *place, file=self.file, pages=self.pages, page_bytes=self.page_bytes, run=self.run)

    def content(self, generation: int) -> bytearray:
        """Every page, stamped with a generation from 1."""
        content = bytearray(self.size_bytes)
        stamp.fill(
            content,
            run=self.run,
            file=self.file,
            first_page=0,
            generation=generation,
            writer=1,
            page_bytes=self.page_bytes,
        )
        return content

    def looks(self, path: Path | None = None) -> tuple[str, ...]:
        """What each page of the file (or of another that should have the same content) looks like: a generation as
        "1", "2", ..., BASE, ZERO, MISSING past the end of the file or, in words, anything else."""
        with open(path or self.path, "rb", buffering=0) as file:
            pages = [os.pread(file.fileno(), self.page_bytes, page * self.page_bytes) for page in range(self.pages)]
        return tuple(self._look(number, content) for number, content in enumerate(pages))

    def _look(self, page: int, content: bytes) -> str:
        if not content:
            return MISSING
        content = content.ljust(self.page_bytes, b"\0")
        span = stamp.scan(content, run=self.run, file=self.file, first_page=page, page_bytes=self.page_bytes)[0]
        if span.look is Look.ZERO:
            return ZERO
        if span.look is Look.OWN:
            return str(span.generation) if span.generation else BASE
        return self._mixture(page, content)

    def _mixture(self, page: int, content: bytes) -> str:
        size = stamp.SECTOR_BYTES
        sectors = {self._sector(page, content[start : start + size]) for start in range(0, self.page_bytes, size)}
        return sectors.pop() if len(sectors) == 1 else f"torn ({', '.join(sorted(sectors))})"

    def _sector(self, page: int, content: bytes) -> str:
        view = stamp.classify(content)
        if view.look is SectorLook.ZERO:
            return ZERO
        if view.look is not SectorLook.STAMP:
            return "garbage"
        if view.run != self.run or view.kind == stamp.Kind.FOREIGN:
            return FOREIGN
        if (view.file, view.page) != (self.file, page):
            return f"content of page {view.page} of file {view.file}"
        return str(view.generation) if view.generation else BASE

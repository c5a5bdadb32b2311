"""Whose content a sector shows: what was written to this very place, something else's, or nothing sensible."""

from dataclasses import dataclass
from typing import Literal

from verify import stamp
from verify.history import BASE, ZERO, Content
from verify.ledger import File
from verify.stamp import Kind, Look, SectorLook, SectorView, Span


@dataclass(frozen=True, slots=True)
class Alien:
    """A valid stamp that was never meant for this place."""

    kind: Literal["exposed", "misdirected", "clone-changed"]
    found: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """Neither zeros nor a valid stamp; maybe a mix of several contents."""

    found: str


@dataclass(frozen=True, slots=True)
class Identity:
    """How the stamps of one file look: STORE stamps name the file, BASE stamps its `content_file`."""

    run: int
    page_bytes: int
    file: File

    def of_span(self, span: Span) -> Content | Alien:
        """What every sector of a span shows that was scanned for `content_file`."""
        if span.look == Look.ZERO:
            return ZERO
        if span.generation == 0:
            return BASE
        if self.file.content_file == self.file.file:
            return Content("store", span.generation, span.writer)
        return self._leaked(self.file.content_file, span.generation)

    def of_sector(self, view: SectorView, page: int, sector: int) -> Content | Alien | Damaged:
        """What one sector of a page shows."""
        match view.look:
            case SectorLook.ZERO:
                return ZERO
            case SectorLook.STAMP:
                return self._of_stamp(view, page, sector)
            case SectorLook.BAD_CHECKSUM:
                return Damaged("a damaged stamp")
            case SectorLook.GARBAGE:
                return Damaged("no stamp")

    def page(self, content: Content, page: int) -> bytes:
        """The bytes of a page that shows this content throughout."""
        if content == ZERO:
            return bytes(self.page_bytes)
        is_base = content == BASE
        return stamp.page(
            run=self.run,
            file=self.file.content_file if is_base else self.file.file,
            page=page,
            generation=content.generation,
            writer=content.writer,
            kind=Kind.BASE if is_base else Kind.STORE,
            page_bytes=self.page_bytes,
        )

    def _of_stamp(self, view: SectorView, page: int, sector: int) -> Content | Alien:
        if view.kind == Kind.FOREIGN:
            return Alien("exposed", "a foreign stamp")
        if view.run != self.run:
            return Alien("exposed", "a stamp of another run")
        if (view.page, view.sector) == (page, sector):
            if view.kind == Kind.BASE and view.file == self.file.content_file:
                return BASE
            if view.kind == Kind.STORE and view.file == self.file.file:
                return Content("store", view.generation, view.writer)
            return self._leaked(view.file, view.generation)
        place = f"file {view.file}, page {view.page - page:+}, sector {view.sector - sector:+}"
        return Alien("misdirected", f"{_version(view.generation)} of {place}")

    def _leaked(self, file: int, generation: int) -> Alien:
        """The right place of a wrong file; in a clone most likely a store to its origin."""
        is_origin = self.file.role == "clone" and file == self.file.content_file
        found = f"{_version(generation)} of the same page of file {file}"
        return Alien("clone-changed" if is_origin else "misdirected", found)


def _version(generation: int) -> str:
    return f"generation {generation}" if generation else "the base"

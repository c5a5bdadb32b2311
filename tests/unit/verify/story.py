"""Builds small ledgers and the files that a filesystem may have made of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from verify import checker, ledger, oracle, reader, stamp
from verify.finding import Finding, Read
from verify.ledger import Base, Record, RefusedPage
from verify.stamp import FOREIGN_FILE, Buffer, Kind

RUN = 0xFEED
PAGE = 4096


class Story:
    """A ledger under construction, with one worker's view of it, and contents to hold against it."""

    def __init__(self, directory: Path, page_bytes: int = PAGE) -> None:
        self.directory = directory
        self.page_bytes = page_bytes
        self.records: list[Record] = [ledger.Begin(ledger.LEDGER_VERSION, RUN, page_bytes, "{}")]
        self.observed: dict[int, Path] = {}
        self.content_files: dict[int, int] = {}

    def file(
        self,
        pages: int = 8,
        *,
        base: ledger.BaseKind = "zero",
        file: int = 1,
        role: ledger.Role = "target",
        content_file: int | None = None,
        size_bytes: int | None = None,
    ) -> None:
        origin = content_file if content_file is not None else file
        size = pages * self.page_bytes if size_bytes is None else size_bytes
        self.records.append(ledger.File(file, f"file{file}", size, "hole", role, origin, (Base(0, pages, base),)))
        self.content_files[file] = origin

    def worker(self, first: int = 0, pages: int = 8, *, worker: int = 1, file: int = 1, pin: str = "mlock") -> None:
        self.records.append(ledger.Worker(worker, file, pin, "store", first, pages))

    def store(
        self,
        first: int,
        pages: int,
        generation: int,
        *,
        bytes_: tuple[int, int] | None = None,
        faults: Sequence[int] = (),
        worker: int = 1,
        file: int = 1,
        returns: bool = True,
    ) -> None:
        lo, hi = bytes_ or (0, self.page_bytes)
        self.records.append(ledger.Store(worker, file, first, pages, generation, lo, hi))
        if returns:
            refused = tuple(RefusedPage(page, "SIGBUS", 2, 0) for page in faults)
            self.records.append(ledger.Stored(worker, refused))

    def sync(
        self,
        errno: int = 0,
        *,
        kind: str = "msync",
        files: Sequence[int] = (1,),
        pages: tuple[int, int] = (0, 0),
        worker: int = 1,
    ) -> None:
        self.records.append(ledger.Sync(worker, kind, tuple(files), *pages))
        self.records.append(ledger.Synced(worker, errno))

    def alter(self, alteration: ledger.Resize | ledger.Zeroed, errno: int = 0) -> None:
        self.records += [alteration, ledger.Altered(alteration.worker, errno)]

    def crash(self) -> None:
        self.records.append(ledger.Struck("power cut", True))

    def swap(self) -> None:
        self.records.append(ledger.Swap("0 8 flakey ..."))

    def page(self, page: int, generation: int, *, file: int = 1, writer: int = 1) -> bytes:
        """A page's stamp: of a store, or the base for generation 0."""
        return stamp.page(
            run=RUN,
            file=file,
            page=page,
            generation=generation,
            writer=writer if generation else 0,
            kind=Kind.STORE if generation else Kind.BASE,
            page_bytes=self.page_bytes,
        )

    def foreign(self, block: int) -> bytes:
        return stamp.page(
            run=RUN,
            file=FOREIGN_FILE,
            page=block,
            generation=1,
            writer=0,
            kind=Kind.FOREIGN,
            page_bytes=self.page_bytes,
        )

    def pages(self, *generations: int | None) -> bytearray:
        """A file's content from one generation per page; None is zeros."""
        zeros = bytes(self.page_bytes)
        return bytearray(
            b"".join(
                zeros if generation is None else self.page(page, generation) for page, generation in enumerate(generations)
            )
        )

    def expectations(self) -> oracle.Expectations:
        return oracle.expectations(self.records)

    def check(
        self,
        content: Buffer,
        *,
        others: Mapping[int, Buffer] | None = None,
        read: Read = "cold",
        raw_limit_pages: int = 4096,
    ) -> list[Finding]:
        """Findings when file 1 holds this content, read back from a real file."""
        looks = {}
        for file, held in {1: content, **(others or {})}.items():
            path = self.directory / f"file{file}"
            path.write_bytes(held)
            looks[file] = reader.observe_file(
                path,
                run=RUN,
                content_file=self.content_files[file],
                page_bytes=self.page_bytes,
                raw_limit_pages=raw_limit_pages,
            )
        return checker.check(self.expectations(), looks, read)

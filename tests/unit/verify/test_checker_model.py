"""The whole way from ledger and file to findings agrees with the brute-force model, byte by byte."""

from collections.abc import Iterable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.verify import reference
from tests.unit.verify.brute_force import PAGES, Truth, base_of, ledgers, truth_at
from tests.unit.verify.story import RUN
from verify import checker, ledger, oracle, reader
from verify.finding import Finding
from verify.history import BASE, ZERO, Content
from verify.ledger import Record
from verify.stamp import SECTOR_BYTES, Kind

PAGE = 1024
CHUNK = 128
"""Stores begin and end at its multiples here."""

SEVERITY = ["fine", "late", "store", "sync"]


@cache
def page_of(content: Content, page: int) -> bytes:
    """By the plain reference, not by the code under test."""
    if content == ZERO:
        return bytes(PAGE)
    return reference.page(
        run=RUN,
        file=1,
        page=page,
        generation=content.generation,
        writer=content.writer,
        kind=Kind.BASE if content == BASE else Kind.STORE,
        page_bytes=PAGE,
    )


def truths_of(records: list[Record], base: Content, page: int) -> list[Truth]:
    """The truth about each byte; it can change where something recorded begins or ends."""
    borders = {0}
    for record in records:
        match record:
            case ledger.Store():
                borders |= {record.lo, record.hi}
            case ledger.Zeroed():
                borders |= {record.first_byte % PAGE, (record.first_byte + record.length_bytes) % PAGE}
    truths: list[Truth] = []
    for byte in range(PAGE):
        truths.append(truth_at(records, base, page, byte) if byte in borders else truths[-1])
    return truths


def written_at(records: list[Record], base: Content, page: int, byte: int) -> list[Content]:
    """All that was ever there, and zeros."""
    stores = [record for record in records if isinstance(record, ledger.Store)]
    return [
        base,
        ZERO,
        *(
            Content("store", store.generation, store.worker)
            for store in stores
            if store.first_page <= page < store.first_page + store.pages and store.lo <= byte < store.hi
        ),
    ]


def severity(found: int, at: int, page: int, truth: Truth, crash: bool) -> str:
    """What is wrong with a byte: nothing, a reported loss, or one of the promises."""

    def is_from(contents: Iterable[Content]) -> bool:
        return any(page_of(content, page)[at] == found for content in contents)

    if is_from(truth.durable if crash else truth.latest):
        return "fine"
    if is_from(truth.excused):
        return "late"
    return "sync" if truth.acked and not is_from(truth.durable) else "store"


def worst_by_sector(content: bytes, truths: list[list[Truth]], crash: bool) -> dict[int, str]:
    """The worst byte of each sector of the file that has a bad one."""
    worst: dict[int, str] = {}
    for offset, found in enumerate(content):
        page, at = divmod(offset, PAGE)
        wrong = severity(found, at, page, truths[page][at], crash)
        before = worst.get(offset // SECTOR_BYTES, "fine")
        worst[offset // SECTOR_BYTES] = max(before, wrong, key=SEVERITY.index)
    return {sector: wrong for sector, wrong in worst.items() if wrong != "fine"}


def found_by_sector(findings: list[Finding]) -> dict[int, str]:
    found: dict[int, str] = {}
    for finding in findings:
        assert finding.kind in ("lost", "torn", "late")
        assert finding.reported or finding.kind != "late"
        said = "late" if finding.kind == "late" else "sync" if finding.promise == "sync" else "store"
        for page in range(finding.first_page, finding.first_page + finding.pages):
            for index in range(PAGE // SECTOR_BYTES):
                if finding.sectors >> index & 1:
                    sector = page * PAGE // SECTOR_BYTES + index
                    assert sector not in found
                    found[sector] = said
    return found


@st.composite
def contents(draw: st.DrawFn, records: list[Record], truths: list[list[Truth]], base: Content, crash: bool) -> bytes:
    """A file pieced together from what was ever there: each page legally, of one piece, or chunk by chunk."""
    made = b""
    for page in range(PAGES):
        how = draw(st.sampled_from(["legal", "legal", "whole", "chunks"]))
        whole = draw(st.sampled_from(written_at(records, base, page, 0)))
        for at in range(0, PAGE, CHUNK):
            truth = truths[page][at]
            legal = sorted(truth.durable if crash else truth.latest)
            choice = {"legal": legal, "whole": [whole], "chunks": written_at(records, base, page, at)}[how]
            if how == "whole" and whole not in written_at(records, base, page, at):
                choice = [ZERO]
            made += page_of(draw(st.sampled_from(choice)), page)[at : at + CHUNK]
    return made


@settings(max_examples=150, deadline=None)
@given(data=st.data(), crash=st.booleans(), records=ledgers(PAGE, steps=9, resize=False))
def test_findings_say_what_the_model_says(
    data: st.DataObject, crash: bool, records: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = base_of(records)
    truths = [truths_of(records, base, page) for page in range(PAGES)]
    content = data.draw(contents(records, truths, base, crash))
    path = tmp_path_factory.getbasetemp() / "file"
    looks = {}
    for file, held in ((1, content), (2, bytes(len(content)))):
        path.with_suffix(f".{file}").write_bytes(held)
        looks[file] = reader.observe_file(path.with_suffix(f".{file}"), run=RUN, content_file=file, page_bytes=PAGE)
    expectations = oracle.expectations([*records, ledger.Struck("x", crash)])
    findings = checker.check(expectations, looks, "cold")
    assert found_by_sector(findings) == worst_by_sector(content, truths, crash)

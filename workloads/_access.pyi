"""Types of the native core `workloads/_access.c`."""

from typing_extensions import Buffer

def store(
    mapping: Buffer, content: Buffer, page_bytes: int, first_page: int, pages: int, lo: int, hi: int, /
) -> list[tuple[int, int, int]]: ...

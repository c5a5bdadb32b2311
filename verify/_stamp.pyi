"""Types of the native core. Call it through verify.stamp, which checks ranges; these functions do not."""

from verify.stamp import Buffer

def fill(
    buffer: Buffer,
    run: int,
    file: int,
    first_page: int,
    generation: int,
    writer: int,
    kind: int,
    page_bytes: int,
    /,
) -> None: ...
def scan(
    buffer: Buffer, run: int, file: int, first_page: int, page_bytes: int, /
) -> list[tuple[int, int, int, int, int]]: ...
def classify(sector: Buffer, /) -> tuple[int, int, int, int, int, int, int, int]: ...

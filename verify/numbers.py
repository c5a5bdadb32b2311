"""Ranges of numbers in stored records: part of the type of a field, held by verify.codec whenever it reads one.

Records come from strangers too: whoever computes with them needs no further check that a number is one that can be.
"""

from dataclasses import dataclass
from typing import Annotated, TypeAlias


@dataclass(frozen=True, slots=True)
class Within:
    """Both ends included."""

    lowest: int
    highest: int


U32: TypeAlias = Annotated[int, Within(0, 2**32 - 1)]
U64: TypeAlias = Annotated[int, Within(0, 2**64 - 1)]
S64: TypeAlias = Annotated[int, Within(-(2**63), 2**63 - 1)]
Bytes: TypeAlias = Annotated[int, Within(0, 2**63 - 1)]
"""A place in a file or a length (off_t)."""
PageIndex: TypeAlias = Annotated[int, Within(0, 2**51 - 1)]
"""A place in a file, or a length, in pages of at least 4096 bytes."""
PageCount: TypeAlias = Annotated[int, Within(1, 2**51 - 1)]
Owner: TypeAlias = Annotated[int, Within(-(2**32), 2**32 - 1)]
"""The number of a worker; negative ones are of no worker."""
Sectors: TypeAlias = Annotated[int, Within(0, 2**256 - 1)]
"""Bit i: sector i of a page, of which the largest has 256."""
Errno: TypeAlias = Annotated[int, Within(0, 4095)]
"""0 is success, and 4095 the kernel's MAX_ERRNO (include/linux/err.h)."""

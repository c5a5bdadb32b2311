"""One record, one line: dataclasses as JSON arrays `[tag, field, ...]`, where the tag names the class.

The form of ledgers and stored observations; nested dataclasses are arrays without a tag. See verify.codec.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar

from verify.codec import Malformed, encode, parse, reader, shown

T = TypeVar("T")


class Codec(Generic[T]):
    """Turns the records of a table, tag to class, into lines and back."""

    def __init__(self, classes: Mapping[str, type[T]]) -> None:
        hints: dict[str, Any] = {**classes}
        self._readers = {tag: reader(hint, arrays=True) for tag, hint in hints.items()}
        self._tags = {cls: tag for tag, cls in classes.items()}

    def encode(self, record: T) -> bytes:
        """The record's line, newline included."""
        named: Any = record
        array = [self._tags[type(record)], *(getattr(record, field.name) for field in fields(named))]
        return encode(array, arrays=True).encode() + b"\n"

    def decode(self, line: bytes) -> T:
        """The record of one line. Raises Malformed, a ValueError, with the reason if the line is not one."""
        array = parse(line)
        tag = array[0] if isinstance(array, list) and array else None
        if not isinstance(tag, str) or tag not in self._readers:
            raise Malformed(f"found {shown(array)}", f"allowed are arrays that begin with {', '.join(self._readers)}")
        record: T = self._readers[tag](array[1:])
        return record

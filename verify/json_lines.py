"""One record, one line: flat frozen dataclasses as JSON arrays `[tag, field, ...]`.

Ledgers and stored observations are written by processes that may be killed at any byte, and read by
others, so the decoder believes nothing: arity and type of every field are checked against the dataclass.

Fields may be int, str, bool, bytes (base64), an enum of ints, a Literal of strings, another such
dataclass (a nested array without tag), or a tuple of any of these.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import IntEnum
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
Reader = Callable[[Any], Any]


class Codec(Generic[T]):
    """Turns the records of a table, tag to class, into lines and back."""

    def __init__(self, classes: Mapping[str, type[T]]) -> None:
        self._readers = {tag: _dataclass_reader(cls) for tag, cls in classes.items()}
        self._tags = {cls: tag for tag, cls in classes.items()}

    def encode(self, record: T) -> bytes:
        """The record's line, newline included."""
        array = [self._tags[type(record)], *_values(record)]
        return json.dumps(array, separators=(",", ":"), default=_encode).encode() + b"\n"

    def decode(self, line: bytes) -> T:
        """The record of one line. Raises ValueError with the reason if the line is not one."""
        array = json.loads(line)
        if not isinstance(array, list) or not array or not isinstance(array[0], str):
            raise ValueError("not an array that starts with a tag")
        reader = self._readers.get(array[0])
        if reader is None:
            raise ValueError(f"unknown tag {array[0]!r}")
        record: T = reader(array[1:])
        return record


def _values(record: Any) -> list[Any]:
    return [getattr(record, field.name) for field in fields(record)]


def _encode(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else _values(value)


def _dataclass_reader(cls: type) -> Reader:
    hints = get_type_hints(cls)
    readers = [(field.name, _reader(hints[field.name])) for field in fields(cls)]

    def read(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(readers):
            raise ValueError(f"{cls.__name__} takes {len(readers)} fields, not {value!r}")
        return cls(**{name: reader(item) for (name, reader), item in zip(readers, value, strict=True)})

    return read


def _reader(hint: Any) -> Reader:
    if hint in (int, str, bool):
        return _plain_reader(hint)
    if hint is bytes:
        return lambda value: base64.b64decode(value, validate=True)
    if get_origin(hint) is Literal:
        return _literal_reader(get_args(hint))
    if get_origin(hint) is tuple:
        return _tuple_reader(_reader(get_args(hint)[0]))
    return hint if issubclass(hint, IntEnum) else _dataclass_reader(hint)


def _plain_reader(cls: type) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not cls:  # bool is an int, but True is not a page number
            raise ValueError(f"{value!r} is not of type {cls.__name__}")
        return value

    return read


def _literal_reader(allowed: tuple[str, ...]) -> Reader:
    def read(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
        return value

    return read


def _tuple_reader(reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is not a list")
        return tuple(map(reader, value))

    return read

"""The one codec for all that is stored: dataclasses as JSON, and back again with every field checked.

What is read may have been edited by hand, or written by a process that was killed at any byte, so decoding believes
nothing: a missing, unknown, repeated or mistyped field is refused with its place, what was found and what is allowed.

Fields may be int (in a range of verify.numbers), str, bool, float, bytes (base64), Path (absolute), an enum (its value),
a Literal of strings, another dataclass, a list, a tuple, a mapping, or a union of plain types and None. A dataclass is an
object with exactly its fields (`version` is looked at first: other versions have others) or, for verify.json_lines, an
array of their values.
A field whose metadata are OPTIONAL is left out of an object where it has its default.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from verify.numbers import Within

T = TypeVar("T")
OPTIONAL = {"optional": True}
Reader = Callable[[Any], Any]

_SHOWN_CHARACTERS = 60
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_SURROGATE = "\\ud"
_PLAIN = {int: "a whole number", str: "text", bool: "true or false", float: "a number", NoneType: "null"}


class Malformed(ValueError):
    """Stored data that is not of the form it should have."""

    wrong: str
    """What was found, behind the place of the field, such as `workers[0].pages`."""
    allowed: str
    """What may stand there."""
    place: str
    """Of the field, "" for the whole."""

    def __init__(self, wrong: str, allowed: str, place: str = "") -> None:
        super().__init__(wrong, allowed, place)
        self.wrong, self.allowed, self.place = (f"{place}: {wrong}" if place else wrong), allowed, place

    def __str__(self) -> str:
        return f"{self.wrong}; {self.allowed}"

    def within(self, step: str) -> "Malformed":
        """The same, of a value that holds this one as field `step`, or as element `[step]`."""
        wrong, allowed, place = self.args
        return Malformed(wrong, allowed, f"{step}{'.' * (place[:1] not in ('', '['))}{place}")


def encode(value: object, *, arrays: bool = False, indent: int | None = None, sort_keys: bool = False) -> str:
    """The JSON of dataclasses and whatever they hold."""
    separators = (",", ":") if indent is None else None
    default = _in_arrays if arrays else _in_objects
    return json.dumps(value, indent=indent, sort_keys=sort_keys, separators=separators, default=default)


def decode(cls: type[T], text: str | bytes) -> T:
    """The value of type `cls` that `text` is the JSON of. Raises Malformed."""
    return from_plain(cls, parse(text))


def from_plain(cls: type[T], plain: object) -> T:
    """The value of type `cls` from what `parse` makes of its JSON. Raises Malformed."""
    hint: Any = cls
    value: T = reader(hint)(plain)
    return value


def parse(text: str | bytes) -> Any:
    """JSON as plain data, with no name twice in an object, and all text printable as UTF-8. Raises Malformed."""
    try:
        text = text if isinstance(text, str) else text.decode()
        plain = _DECODER.decode(text)
        if _SURROGATE in text.lower():
            json.dumps(plain, ensure_ascii=False).encode()  # refuses half a pair
        return plain
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{shown(text)} is not JSON", str(error)) from error


def shown(value: object) -> str:
    """A value as a message shows it, shortened."""
    try:
        text = repr(value) if isinstance(value, str | bytes) else json.dumps(value, default=str)
    except RecursionError:
        text = "what is nested too deep"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


@cache
def reader(hint: Any, *, arrays: bool = False) -> Reader:
    """What checks and converts the plain data of a field of this type; it raises Malformed."""
    if isinstance(hint, type) and is_dataclass(hint):
        return _array_reader(hint) if arrays else _object_reader(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _ranged_reader(inner[1])
    if origin is Literal:
        return _choice_reader({value: value for value in inner})
    if origin in (list, tuple):
        return _list_reader(origin, inner, arrays)
    if origin in (dict, Mapping):
        return _mapping_reader(inner[0], reader(inner[1], arrays=arrays))
    if origin in (Union, UnionType):  # Annotated[int, ...] | None is a typing.Union
        return _union_reader(inner, arrays)
    if issubclass(hint, Enum):
        return _choice_reader({member.value: member for member in hint})
    if hint in (bytes, Path):
        return _text_reader(hint)
    return _plain_reader((hint,))


def _in_objects(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Path):
        return str(value.absolute())
    stored = ((field, getattr(value, field.name)) for field in fields(value))
    return {field.name: item for field, item in stored if not (field.metadata == OPTIONAL and item == field.default)}


def _in_arrays(value: Any) -> Any:
    return list(plain.values()) if isinstance(plain := _in_objects(value), dict) else plain


def _object_reader(cls: type) -> Reader:
    hints = get_type_hints(cls, include_extras=True)
    readers = {field.name: reader(hints[field.name]) for field in fields(cls)}
    needed = [field.name for field in fields(cls) if field.metadata != OPTIONAL]
    allowed = f"the fields are {', '.join(readers)}"

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Malformed(f"found {shown(value)}", f"an object is needed, {allowed}")
        if "version" in readers and "version" in value:
            _read_at("version", readers["version"], value["version"])
        for name in [*value, *needed]:
            if name not in readers or name not in value:
                raise Malformed(f"field {shown(name)} is {'missing' if name in readers else 'unknown'}", allowed)
        return cls(**{name: _read_at(name, readers[name], item) for name, item in value.items()})

    return read


def _array_reader(cls: type) -> Reader:
    hints = get_type_hints(cls, include_extras=True)
    readers = [(field.name, reader(hints[field.name], arrays=True)) for field in fields(cls)]

    def read(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(readers):
            raise Malformed(f"found {shown(value)}", f"{cls.__name__} takes {', '.join(name for name, _ in readers)}")
        return cls(*[_read_at(name, read, item) for (name, read), item in zip(readers, value, strict=True)])

    return read


def _read_at(step: str, read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except Malformed as error:
        raise error.within(step) from None


def _plain_reader(types: tuple[type, ...]) -> Reader:
    """bool is an int, but true is not a page number: the very type counts."""
    accepted = {*types, int} if float in types else set(types)
    allowed = f"allowed is {' or '.join(_PLAIN[each] for each in types)}"

    def read(value: Any) -> Any:
        if type(value) not in accepted or (float in accepted and not _is_finite(value)):
            raise Malformed(f"found {shown(value)}", allowed)
        return value

    return read


def _is_finite(value: Any) -> bool:
    """Also of a whole number, which may be too large for a float."""
    try:
        return not isinstance(value, int | float) or isfinite(value)
    except OverflowError:
        return False


def _ranged_reader(within: Within) -> Reader:
    whole = _plain_reader((int,))
    allowed = f"allowed is {within.lowest} to {within.highest}"

    def read(value: Any) -> Any:
        if not within.lowest <= whole(value) <= within.highest:
            raise Malformed(f"{shown(value)} is out of range", allowed)
        return value

    return read


def _text_reader(kind: type) -> Reader:
    text = _plain_reader((str,))

    def read(value: Any) -> Any:
        if "\0" in text(value):
            raise Malformed(f"found {shown(value)}", "allowed is text without NUL")
        try:
            return Path(value) if kind is Path else base64.b64decode(value, validate=True)
        except ValueError as error:
            raise Malformed(f"found {shown(value)}", "allowed is base64") from error

    return read


def _choice_reader(choices: Mapping[Any, Any]) -> Reader:
    types, allowed = {type(value) for value in choices}, f"allowed are {', '.join(map(str, choices))}"

    def read(value: Any) -> Any:
        if type(value) not in types or value not in choices:
            raise Malformed(f"{shown(value)} is unknown", allowed)
        return choices[value]

    return read


def _list_reader(made: type, inner: tuple[Any, ...], arrays: bool) -> Reader:
    """`made` is list or tuple; a tuple may have a type for each of its elements."""
    is_uniform = len(inner) == 1 or inner[1] is Ellipsis
    readers = [reader(each, arrays=arrays) for each in (inner[:1] if is_uniform else inner)]

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise Malformed(f"found {shown(value)}", "allowed is a list")
        if not is_uniform and len(value) != len(readers):
            raise Malformed(f"found {shown(value)}", f"allowed is a list of {len(readers)}")
        chosen = readers * len(value) if is_uniform else readers
        return made(_read_at(f"[{at}]", read, item) for at, (read, item) in enumerate(zip(chosen, value, strict=True)))

    return read


def _mapping_reader(key: type, inner: Reader) -> Reader:
    """The keys of an object are text: those of a mapping from numbers are written in decimal."""

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Malformed(f"found {shown(value)}", "allowed is an object")
        if key is int and (bad := [name for name in value if not _DECIMAL.fullmatch(name)]):
            raise Malformed(f"found {shown(bad[0])}", "allowed are whole numbers as names")
        return {key(name): _read_at(name[:_SHOWN_CHARACTERS], inner, item) for name, item in value.items()}

    return read


def _union_reader(inner: tuple[Any, ...], arrays: bool) -> Reader:
    if all(each in _PLAIN for each in inner):
        return _plain_reader(inner)
    (other,) = (each for each in inner if each is not NoneType)
    read_other = reader(other, arrays=arrays)
    return lambda value: None if value is None else read_other(value)


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise Malformed(f"field {shown(twice)} stands there twice", "each may stand there once")
    return plain


def _no_number(word: str) -> Any:
    raise Malformed(f"{word} is no number", "JSON has none such")


_DECODER = json.JSONDecoder(object_pairs_hook=_unrepeated, parse_constant=_no_number)

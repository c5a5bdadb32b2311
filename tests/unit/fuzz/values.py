"""Any value of a type that verify.codec stores: what a decoder must give back, and what mutations begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**70), 2**70),
    str: TEXT,
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bytes: st.binary(max_size=20),
    Path: TEXT.map(lambda text: Path("/" + text.replace("\0", ""))),
    NoneType: st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type as verify.codec knows it."""
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        return st.builds(hint, *[values(hints[field.name]) for field in fields(hint)])
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return st.integers(inner[1].lowest, inner[1].highest)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (list, tuple):
        if origin is tuple and inner[-1] is not Ellipsis:
            return st.tuples(*map(values, inner))
        return st.lists(values(inner[0]), max_size=3).map(origin)
    if origin in (dict, Mapping):
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    if isinstance(hint, UnionType):
        return st.one_of(*map(values, inner))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    return _PLAIN[hint]

"""What fuzzed inputs are made of: kept seeds, cut, doubled and spliced, with nasty words in the place of theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.unit.fuzz.targets import TARGETS
from tests.unit.fuzz.values import values
from verify import codec

SEEDS = Path(__file__).with_name("seeds")
NASTY: tuple[bytes, ...] = (
    *(b"", b"\0", b"\xff", b"\n", b"\r\n", b" ", b'"', b"'", b"\\", b"[", b"]", b"{", b"}", b",", b"=", b"-"),
    *(b"0", b"-1", b"1", b"7", b"1e999", b"-1e-999", b"NaN", b"4096", b"65536", b"1000000000", b"2147483648"),
    *(b"4294967295", b"4294967296", b"9223372036854775807", b"18446744073709551616", b"9" * 400, b"9" * 5000),
    *(b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[" * 3000, b'{"a":' * 3000, b"[[1]]", b'"\\ud800"'),
    *(b'"\\u001b[31m"', "\u202e\u0663".encode(), b"../../etc/passwd", b"/dev/zero", b"'; DROP TABLE run; --", b"x" * 9999),
    *(b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0\0\0\0\x80", b"zfs", b"*", b"+", b"2026-01-01"),
)
_WORD = re.compile(rb"[\w.+-]+")
_NASTY_JSON: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 2**31, 2**32, 2**63, 2**64, 10**400, 1e308, "", "x", "\0", "\ud800", "\x1b[31m\n"),
    *([], {}, [[]], {"": {}}, ["x"], [0, 0], "x" * 5000, "../x", "none", "store", "sync", "mlock", "ext4", "cold"),
)


def seeds(name: str) -> list[bytes]:
    """Those that are kept of a target."""
    return [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Inputs of a target: mutations of its seeds, and of any value of its type."""
    hint = TARGETS[name].hint
    begin = st.sampled_from(seeds(name))
    made = values(hint).map(lambda value: codec.encode(value).encode()) if hint else begin
    return st.one_of(_mutations(begin), _mutations(begin), _mutations(made))


@st.composite
def _mutations(draw: st.DrawFn, begin: st.SearchStrategy[bytes]) -> bytes:
    content = draw(begin)
    for mutate in draw(st.lists(st.sampled_from([_word, _word, _node, _node, _byte, _cut, _doubled]), max_size=4)):
        content = mutate(draw, content)
    return content


def _place(draw: st.DrawFn, content: bytes) -> int:
    return draw(st.integers(0, len(content)))


def _word(draw: st.DrawFn, content: bytes) -> bytes:
    """A word that is another one."""
    words = list(_WORD.finditer(content))
    if not words:
        return draw(st.sampled_from(NASTY))
    old, other = draw(st.sampled_from(words)), draw(st.sampled_from(words))
    new = draw(st.one_of(st.sampled_from(NASTY), st.just(other[0])))
    return content[: old.start()] + new + content[old.end() :]


def _node(draw: st.DrawFn, content: bytes) -> bytes:
    """A value in the JSON of a line that is another one, is gone, or is there twice."""
    lines = content.split(b"\n")
    at = draw(st.integers(0, len(lines) - 1))
    try:
        plain = json.loads(lines[at])
    except (ValueError, RecursionError):
        return _word(draw, content)
    holder, key = draw(st.sampled_from([*_nodes([plain])]))
    match draw(st.sampled_from(["other", "other", "gone", "twice"])):
        case "gone":
            del holder[key]
        case "twice" if isinstance(holder, list):
            holder.insert(key, holder[key])
        case _:
            holder[key] = draw(st.one_of(st.sampled_from(_NASTY_JSON), st.integers(-3, 9)))
    lines[at] = json.dumps(plain).encode()
    return b"\n".join(lines)


def _nodes(holder: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _nodes(holder[key])


def _byte(draw: st.DrawFn, content: bytes) -> bytes:
    at = _place(draw, content)
    return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at + draw(st.integers(0, 4)) :]


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    first, last = sorted((_place(draw, content), _place(draw, content)))
    return draw(st.sampled_from([content[:first], content[last:], content[:first] + content[last:]]))


def _doubled(draw: st.DrawFn, content: bytes) -> bytes:
    first, last = sorted((_place(draw, content), _place(draw, content)))
    return content[:last] + content[first:]

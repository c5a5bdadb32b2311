"""What fuzzed inputs are made of: kept seeds, cut, doubled and spliced, with nasty words in the place of theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.unit.fuzz.targets import TARGETS
from tests.unit.fuzz.values import values
from verify import codec

SEEDS = Path(__file__).with_name("seeds")
MOST_MUTATIONS = 4
NASTY: tuple[bytes, ...] = (
    *(b"", b"\0", b"\xff", b"\n", b"\r\n", b" ", b'"', b"'", b"\\", b"[", b"]", b"{", b"}", b",", b"=", b"-"),
    *(b"0", b"-1", b"1", b"7", b"1e999", b"-1e-999", b"NaN", b"4096", b"65536", b"1000000000", b"2147483648"),
    *(b"4294967295", b"4294967296", b"9223372036854775807", b"18446744073709551616", b"9" * 400, b"9" * 5000),
    *(b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[" * 3000, b'{"a":' * 3000, b"[[1]]", b'"\\ud800"'),
    *(b'"\\u001b[31m"', "\u202e\u0663".encode(), b"../../etc/passwd", b"/dev/zero", b"'; DROP TABLE run; --", b"x" * 9999),
    *(b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0\0\0\0\x80", b"zfs", b"*", b"+", b"2026-01-01"),
)
_NASTY_JSON: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 2**31, 2**32, 2**63, 2**64, 10**400, 1e308, "", "x", "\0", "\ud800", "\x1b[31m\n"),
    *([], {}, [[]], {"": {}}, ["x"], [0, 0], "x" * 5000, "../x", "none", "store", "sync", "mlock", "ext4", "cold"),
)
_WORD = re.compile(rb"[\w.+-]+")


def seeds(name: str) -> list[bytes]:
    """Those that are kept of a target."""
    return [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Inputs of a target: mutations of its seeds, and of any value of its type."""
    hint, begin = TARGETS[name].hint, st.sampled_from(seeds(name))
    if hint:
        begin = begin | values(hint).map(lambda value: codec.encode(value).encode())
    return st.builds(lambda number, content: mutated(Random(number), content), st.integers(0, 2**64), begin)


def mutated(random: Random, content: bytes) -> bytes:
    """The same content for the same state of `random`."""
    for mutate in random.choices(_MUTATIONS, k=random.randint(0, MOST_MUTATIONS)):
        content = mutate(random, content)
    return content


def _word(random: Random, content: bytes) -> bytes:
    """A word that is another one."""
    words = list(_WORD.finditer(content))
    if not words:
        return random.choice(NASTY)
    old = random.choice(words)
    new = random.choice((random.choice(NASTY), random.choice(words)[0]))
    return content[: old.start()] + new + content[old.end() :]


def _node(random: Random, content: bytes) -> bytes:
    """A value in the JSON of a line that is another one, is gone, or is there twice."""
    lines = content.split(b"\n")
    at = random.randrange(len(lines))
    try:
        plain = [json.loads(lines[at])]
    except (ValueError, RecursionError):
        return _word(random, content)
    holder, key = random.choice([*_nodes(plain)])
    what = random.choice(("other", "other", "gone", "twice"))
    if what == "gone":
        del holder[key]
    elif what == "twice" and isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[key] = random.choice((random.choice(_NASTY_JSON), random.randint(-3, 9)))
    lines[at : at + 1] = [json.dumps(each).encode() for each in plain]
    return b"\n".join(lines)


def _nodes(holder: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _nodes(holder[key])


def _bytes(random: Random, content: bytes) -> bytes:
    at = random.randint(0, len(content))
    return content[:at] + random.randbytes(random.randint(1, 4)) + content[at + random.randint(0, 4) :]


def _part(random: Random, content: bytes) -> tuple[int, int]:
    first, last = sorted(random.randint(0, len(content)) for _ in range(2))
    return first, last


def _cut(random: Random, content: bytes) -> bytes:
    first, last = _part(random, content)
    return random.choice((content[:first], content[last:], content[:first] + content[last:]))


def _doubled(random: Random, content: bytes) -> bytes:
    first, last = _part(random, content)
    return content[:last] + content[first:]


_MUTATIONS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _word,
    _word,
    _word,
    _node,
    _node,
    _node,
    _bytes,
    _cut,
    _doubled,
)

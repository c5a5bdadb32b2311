"""Text of others is shown, and steers nothing."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, \N{EURO SIGN} and \\", "plain, \N{EURO SIGN} and \\"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}\ud800\x9b", r"\u202e\ud800\x9b"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text().filter(lambda text: "\\" not in text))
def test_nothing_is_lost(text: str) -> None:
    assert ast.literal_eval(repr("").join(['"', printable(text).replace('"', r"\""), '"']).replace("''", "")) == text
    assert printable(text).isprintable()


@given(st.text())
def test_lines_and_tabs_stay(text: str) -> None:
    lines = printable_lines(text)
    assert lines.count("\n") == text.count("\n") and lines.count("\t") == text.count("\t")
    assert lines.replace("\n", "").replace("\t", "").isprintable()

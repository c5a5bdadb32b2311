"""Templates and what languages make of values."""

from __future__ import annotations

import email
import email.policy
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.torture.export.nasty import is_shown, lexed, texts
from torture.errors import BadRequest
from torture.export.quoting import SH, C, Code, Value, c_string, mail_header, plain, sh, sh_comment


def test_values_are_said_by_their_kind() -> None:
    template = Code("@CODE@ @TEXT@ @WORDS@ @NUMBER@ @TRUTH@")
    given_values: dict[str, Value] = {"CODE": Code("$x"), "TEXT": "$x", "WORDS": ("a b", "c"), "NUMBER": -7, "TRUTH": True}
    assert SH.render(template, **given_values) == "$x '$x' 'a b' c -7 true"
    assert C.render(template, **given_values) == '$x "$x" "a b" "c" -7 true'


def test_a_text_where_a_number_belongs_is_no_number() -> None:
    assert C.render(Code("fill(@FREE@);"), FREE='4); system("id"') == r'fill("4); system(\042id\042");'


def test_what_a_value_says_is_no_template() -> None:
    assert SH.render(Code("@A@ @B@"), A="@B@\n?b|x\n", B="x") == "'@B@\n?b|x\n' x"


def test_lines_are_there_under_their_condition() -> None:
    template = Code("a\n?one|b\n?!one|c\n?two{\nd\n\n?}\n?!two{\ne\n?}\nf\n")
    assert C.render(template, one=True, two=False) == "a\nb\ne\nf\n"
    assert C.render(template, one=False, two=True) == "a\nc\nd\n\nf\n"


@pytest.mark.parametrize("template", ["@MISSING@", "?missing|x\n", "?missing{\nx\n?}\n"])
def test_a_value_that_is_missing_is_an_error(template: str) -> None:
    with pytest.raises(KeyError, match=r"missing|MISSING"):
        C.render(Code(template))


def test_a_value_of_no_kind_is_an_error() -> None:
    with pytest.raises(TypeError, match="in no language"):
        C.render(Code("@A@"), A=None)


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5))
def test_a_text_is_one_word_in_every_shell(words: list[str]) -> None:
    tame = [word for word in words if is_shown(word)]
    for word in set(words) - set(tame):
        with pytest.raises(BadRequest, match="cannot stand in a script"):
            sh(word)
    script = SH.render(Code("printf '%s\\0' @WORDS@ end"), WORDS=tuple(tame))
    for shell in ("bash", "dash"):
        said = subprocess.run([shell, "-c", script], capture_output=True, check=True).stdout.decode()
        assert said.split("\0") == [*tame, "end", ""]


@given(texts | st.text())
def test_a_text_is_one_string_in_c(text: str) -> None:
    literal = c_string(text)
    assert literal.isascii() and literal.isprintable() and lexed(literal).code == ""
    assert lexed(literal).strings == [text.encode("utf-8", "surrogatepass")]


@given(texts | st.text())
def test_a_plain_word_means_itself_or_is_refused(text: str) -> None:
    try:
        assert plain(text) == text == sh(text)
    except BadRequest as error:
        assert is_shown(str(error))


@pytest.mark.parametrize("line", ["shellcheck disable=all", "  shellcheck source=/etc/passwd"])
def test_a_comment_directs_no_shellcheck(line: str) -> None:
    assert not sh_comment(line).strip().startswith("shellcheck")


@given(texts | st.text())
def test_a_header_is_read_back_as_one(text: str) -> None:
    mail = email.message_from_string(f"{mail_header('Subject', f'[BUG] {text}')}\n\nbody\n", policy=email.policy.default)
    assert mail.keys() == ["Subject"] and mail.get_content() == "body\n"

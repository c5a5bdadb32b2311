"""How a value gets into an export: quoted by the language it goes into. Pure.

What is exported is run by root, compiled, mailed and shown on terminals, and most of what it says comes from plans and
findings, which anybody may have written. So no writer puts a text into another by itself: it hands a template, which is
`Code`, and values to a `Language`, which quotes whatever is not its own code. In a template, a value stands where
`@NAME@` is. A line that begins with `?name|` (or `?!name|`) is there only if `name` is true (or is not), and so are the
lines from `?name{` to `?}`. The long templates are files, `*.in`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.header import Header
from pathlib import Path
from textwrap import indent

from torture.errors import BadRequest
from verify.printable import printable, printable_lines

_FIELD = re.compile(r"@([A-Z_]+)@")
_CONDITIONAL = re.compile(r"^\?(!?)([a-z_]+)(?:\|([^\n]*\n)|\{\n(.*?)^\?\}\n)", re.MULTILINE | re.DOTALL)
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


class Code(str):
    """Text of a language: a template of this package, or what a language made of one. No plan, finding or log is."""

    __slots__ = ()

    def indented(self) -> Code:
        """One tab deeper."""
        return Code(indent(self, "\t"))


Value = Code | str | int | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Language:
    """How a language says what it is given."""

    literal: Callable[[str], str]
    """A text as one literal, or one word."""
    in_comment: Callable[[str], str]
    """One line of text within a comment."""
    comment_prefix: str

    def render(self, template: Code, **values: Value) -> Code:
        """The template with its values: code as it is, texts as literals, several of them side by side, numbers in
        decimal, true and false in words. KeyError for a name without a value."""
        chosen = _CONDITIONAL.sub(
            lambda part: part[3] or part[4] if bool(values[part[2]]) != bool(part[1]) else "", template
        )
        return Code(_FIELD.sub(lambda field: self._said(values[field[1]]), chosen))

    def comment(self, lines: Iterable[str]) -> Code:
        """Lines of a comment."""
        return Code("\n".join(f"{self.comment_prefix}{self.in_comment(line)}".rstrip() for line in lines))

    def remark(self, text: str) -> Code:
        """A text within a comment of the template."""
        return Code(self.in_comment(text))

    def _said(self, value: Value) -> str:
        match value:
            case Code():
                return value
            case str():
                return self.literal(value)
            case bool():
                return str(value).lower()
            case int():
                return str(value)
            case tuple():
                return " ".join(map(self.literal, value))
        raise TypeError(f"{value!r} can be said in no language")


def template(name: str) -> Code:
    """A template that is a file beside this one."""
    return Code(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def sections(name: str) -> dict[str, Code]:
    """The pieces of such a file that stand from `?name{` to `?}`, by name."""
    return {part[2]: Code(part[4].removesuffix("\n")) for part in _CONDITIONAL.finditer(template(name))}


def joined(parts: Iterable[Code], between: str = "\n") -> Code:
    """Pieces of code as one."""
    return Code(between.join(parts))


def blocks(parts: Iterable[Code]) -> Code:
    """Pieces of code with a blank line between them."""
    return Code("\n\n".join(part.strip("\n") for part in parts))


def sh(text: str) -> str:
    """One word for sh and bash, which means exactly `text`. BadRequest for a text that no script should hold: one that a
    command cannot be given, or that a terminal or editor would obey."""
    if printable_lines(text) != text:
        raise BadRequest(f"{printable(text)!r} cannot stand in a script", "allowed are words of printable characters")
    return shlex.quote(text)


def plain(text: str) -> Code:
    """A word that means itself in sh wherever it stands: bare, in double quotes, and when it is evaluated once more."""
    if not _PLAIN_WORD.fullmatch(text):
        raise BadRequest(
            f"{printable(text)!r} cannot stand in a test for fstests, which splits and evaluates options again",
            "allowed are letters, digits and _@%+=:,./- ; export it with --c",
        )
    return Code(text)


def sh_comment(text: str) -> str:
    """A line behind a #: no line after it is code, and it directs no shellcheck."""
    return re.sub(r"^(?=\s*shellcheck\b)", "| ", printable(text))


def c_string(text: str) -> str:
    """A string literal of C11. Bytes that are not printable ASCII, and ? for the sake of trigraphs, are octal (6.4.4.4),
    which ends after three digits whatever follows."""
    told = (
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "surrogatepass")
    )
    return f'"{"".join(told)}"'


def c_comment(text: str) -> str:
    """A line within /* and */, which neither ends it nor begins another (-Wcomment), and has no trigraph (-Wtrigraphs)."""
    return re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", printable(text))


def mail_header(name: str, text: str) -> str:
    """A header (RFC 5322), one line whatever it says; encoded (RFC 2047) if it is not ASCII, or looks encoded."""
    line = printable(text)
    if not line.isascii() or "=?" in line:
        line = Header(line, "utf-8", maxlinelen=1 << 20).encode()
    return f"{name}: {line}"


SH = Language(sh, sh_comment, "# ")
C = Language(c_string, c_comment, " * ")

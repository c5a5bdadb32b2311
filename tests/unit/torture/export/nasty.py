"""Plans and findings that say what a stranger might, and readers of what is exported for them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import strategies as st

from tests.failures import failure
from torture.export.exportable import FAULTS
from torture.plan import Plan
from verify.finding import Finding

_PIECES = (
    *(
        "'",
        '"',
        "\\",
        "`id`",
        "$(id)",
        "${IFS}",
        "$HOME",
        "\n",
        "\r",
        "\t",
        " ",
        ";",
        "&",
        "|",
        "*",
        "#",
        "!",
        "~",
        "=",
        "%s%n",
    ),
    *(
        "*/",
        "/*",
        "//",
        "??/",
        "??>",
        "\\\n",
        "@TABLE@",
        "@MKFS@",
        "?eio|",
        "\x1b[2J",
        "\x1b]0;x\x07",
        "\x00",
        "\x7f",
        "\x9b",
    ),
    *(
        "\N{RIGHT-TO-LEFT OVERRIDE}",
        "\N{LINE SEPARATOR}",
        "\ud800",
        "\N{EURO SIGN}",
        "\N{RIGHT SINGLE QUOTATION MARK}",
        "x",
    ),
    *("-", "--rootdir", "Bcc: x@example.org", "\n\nKernel log\n", "# shellcheck disable=all", "=?utf-8?q?=0A?=", "a" * 300),
)
texts = st.lists(st.sampled_from(_PIECES) | st.text(max_size=5), max_size=6).map("".join)
"""Anything that JSON can hold."""


@st.composite
def failures(draw: st.DrawFn) -> tuple[Plan, Finding]:
    """A plan with nasty options, whose finding says nasty things."""
    fault, layout = draw(st.sampled_from(FAULTS)), draw(st.sampled_from(["hole", "reflinked", "zero-range"]))
    plan, finding = failure(draw(st.sampled_from(["ext4", "jfs", "xfs"])), layout, fault)
    plan = replace(
        plan,
        mkfs_options=tuple(draw(st.lists(texts, max_size=3))),
        mount_options=tuple(draw(st.lists(texts.filter(bool), max_size=3))),
    )
    words = {name: draw(texts) for name in ("expected", "found", "reported", "name", "layout", "pin", "access")}
    return plan, replace(finding, **words)  # type: ignore[arg-type]


def is_shown(text: str) -> bool:
    """Whether a terminal shows it and does nothing else."""
    return all(line.isprintable() for line in text.replace("\t", "").split("\n"))


# -- sh ------------------------------------------------------------------------------------------------------------

_PRELUDE = r"""
exec 3>&1 1>/dev/null 2>/dev/null
PATH=/nonexistent device=DEVICE log=LOG name=NAME dm=DM mnt=MNT state=STATE program=PROGRAM
say() { printf '%s\0' "$@" $'\1' >&3; }
command_not_found_handle() { say "$@"; }
step() { say step "$@"; }
swap() { say swap "$@"; }
exit() { :; }
"""


def commands(script: str, start: str) -> list[list[str]]:
    """The words of every command that bash would run from `start` on: no program is found, and all are told instead."""
    text = _PRELUDE + script[script.index(start) :] + '\nsay MKFS "$MKFS_OPTIONS"\nsay MOUNT "$MOUNT_OPTIONS"\n'
    done = subprocess.run(["bash"], input=text.encode(), env={}, cwd="/proc/self", capture_output=True, check=False)
    told = done.stdout.decode().split("\0\1\0")
    assert told.pop() == "", done
    return [line.split("\0") for line in told]


def code_lines(script: str, end: str) -> list[str]:
    """The lines before `end` that are no comment."""
    return [line for line in script[: script.index(end)].split("\n") if line and not line.startswith("#")]


def checked(scripts: list[Path]) -> None:
    """Whether sh and bash can parse them, and shellcheck has nothing to say."""
    for script in scripts:
        for shell in ("bash", "dash"):
            subprocess.run([shell, "-n", script], check=True, stdin=subprocess.DEVNULL)
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# -- C -------------------------------------------------------------------------------------------------------------

_TOKENS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)
_TRIGRAPHS = re.compile(r"\?\?[=/'()!<>-]")


@dataclass(frozen=True)
class Lexed:
    """A C program as the first phases of translation see it (C11, 5.1.1.2)."""

    code: str
    """What is neither a comment nor within a string."""
    strings: list[bytes]


def lexed(program: str) -> Lexed:
    """The program in pieces."""
    assert not _TRIGRAPHS.search(program)
    tokens = _TOKENS.findall(program.replace("\\\n", ""))
    strings = [_value(token) for token in tokens if token.startswith('"')]
    return Lexed(_TOKENS.sub("", program.replace("\\\n", "")), strings)


_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|(.))")


def _value(literal: str) -> bytes:
    simple = {b"n": b"\n", b"t": b"\t", b"\\": b"\\", b'"': b'"'}
    return _ESCAPE.sub(lambda it: bytes([int(it[1], 8)]) if it[1] else simple[it[2]], literal[1:-1].encode())


def compiled(program: Path) -> None:
    """Whether gcc takes it without a warning."""
    flags = ["-fsyntax-only", "-Wall", "-Wextra", "-Wtrigraphs", "-Wbidi-chars=any", "-Werror"]
    for standard in ("gnu17", "c11"):
        subprocess.run(["gcc", f"-std={standard}", *flags, program], check=True)

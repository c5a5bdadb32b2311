"""The option words for mkfs and mount that a plan or a user may give: each filesystem's row lists them, no other passes.

What else the programs take (see their manual pages) names devices, files and directories of the machine, stops its
kernel (`errors=panic`), makes another filesystem than the row says, or makes none. A list of what is allowed fails safe:
a word that is not in it is refused until somebody adds it to the row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from devicemapper.mounts import FLAGS
from torture.errors import BadRequest
from verify.codec import shown

_NUMBER = r"[0-9]{1,19}[a-zA-Z]?"
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LABEL = "[A-Za-z0-9_.]{1,16}"
FEATURES = r"\^?(?!journal_dev|list)[a-z0-9_-]+"
"""Names of features; `journal_dev` makes no filesystem, and `list-all` makes nothing."""
ERRORS = "errors=(?:continue|remount-ro)"


@dataclass(frozen=True, slots=True)
class Words:
    """Those of one filesystem. A pattern is a regular expression for a whole word, in which # stands for a number (with a
    unit); patterns are separated by spaces."""

    mkfs: Mapping[str, str] = field(default_factory=dict, hash=False)
    """By option, such as -b or --csum: the patterns of what stands between the commas of its value, "" if it takes none."""
    mount: str = ""
    """The patterns of the options that are the filesystem's own."""


def check_words(of: str, words: Words, mkfs: Sequence[str], mount: Sequence[str], places: tuple[str, str]) -> None:
    """BadRequest for the first word that the filesystem called `of` does not allow; `places` say where those for mkfs and
    those for mount stand."""
    for word in _refused_by_mkfs(words.mkfs, mkfs):
        allowed = f"allowed are {', '.join(words.mkfs)} with values that name no file" if words.mkfs else "allowed is none"
        raise BadRequest(f"{places[0]}: mkfs of {of} does not get {shown(word)}", f"{allowed} ({__name__} and the row)")
    for word in mount:
        if not _matcher(f"{words.mount} rw {' '.join(FLAGS)}").fullmatch(word):
            allowed = "allowed are options that name no file or device and stop no kernel"
            raise BadRequest(
                f"{places[1]}: mount of {of} does not get {shown(word)}", f"{allowed} ({__name__} and the row)"
            )


def _refused_by_mkfs(known: Mapping[str, str], words: Sequence[str]) -> Iterator[str]:
    """The words that are no option of `known`, nor the value of one. A value may be a word of its own, follow the letter of
    a short option, or the = of a long one (getopt(3)). Long options have to be written out."""
    given = iter(words)
    for word in given:
        option, value = _parted(word)
        if option not in known or (value is not None and not known[option]):
            yield word
        elif known[option]:
            value = next(given, "") if value is None else value
            if not all(map(_matcher(known[option]).fullmatch, value.split(","))):
                yield f"{option} {value}"


def _parted(word: str) -> tuple[str, str | None]:
    """Option and value of a word; None for one that has no value with it."""
    if word.startswith("--"):
        option, equals, value = word.partition("=")
        return option, value if equals else None
    return word[:2], word[2:] or None


@cache
def _matcher(patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns.split()).replace("#", _NUMBER), re.ASCII)

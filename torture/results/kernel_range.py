"""Which kernels something is said of: releases between bounds, such as ">= 6.1, < 6.15". Pure."""

from __future__ import annotations

import re

from verify.codec import shown

_BOUND = re.compile(r"(<|>=) *(\d{1,5}\.\d{1,5}(?:\.\d{1,5})?)")
_RELEASE = re.compile(r"(\d{1,5})\.(\d{1,5})(?:\.(\d{1,5}))?(?:[-+~_].*)?")

Version = tuple[int, int, int]
Bound = tuple[str, Version]


def bounds(text: str) -> tuple[Bound, ...]:
    """The bounds in `text`, separated by commas; none in "". ValueError for anything else."""
    found = [(part, _BOUND.fullmatch(part.strip())) for part in text.split(",") if text]
    if wrong := next((part for part, bound in found if not bound), None):
        raise ValueError(f"{shown(wrong)} is no bound")
    return tuple((bound[1], _version(bound[2])) for _, bound in found if bound)


def is_within(release: str, text: str) -> bool:
    """Whether a kernel that calls itself `release` (uname(2)) lies between the bounds; never if it calls itself otherwise
    than kernels do."""
    try:
        version = _version(release) if text else (0, 0, 0)
        return all(version < limit if sign == "<" else version >= limit for sign, limit in bounds(text))
    except ValueError:
        return False


def _version(text: str) -> Version:
    found = _RELEASE.fullmatch(text)
    if not found:
        raise ValueError(f"{shown(text)} is no version of a kernel")
    return int(found[1]), int(found[2]), int(found[3] or 0)

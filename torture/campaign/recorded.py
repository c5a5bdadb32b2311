"""What is read of a run that was stored: its trials, and the facts about it with each of the form that a run gives it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torture.campaign.run_config import RunConfig
from torture.errors import BadRequest
from torture.results.store import STORE, Store, Trial
from verify import codec
from verify.codec import shown
from verify.numbers import U32

_MOST_LEVELS = 8
FACTS: Mapping[str, Any] = {
    "run": str,
    "purpose": str,
    "seed": int,
    "labs": dict[str, dict[str, str]],
    "subject": str,
    "original": str,
    "verdict": str,
    "wall_seconds": float,
    "busy_seconds": float,
    "cores": U32,
    "jobs": U32,
    "boots": U32,
    "lost_guests": list[str],
    "interrupted": bool,
}
"""By name, what a fact is, but for the config."""
OF_COMMANDS = ("target", "position", "comparison")
"""Facts of shrink and compare, which check what they use of them."""


def stored(directory: Path) -> tuple[list[Trial], dict[str, Any]]:
    """Trials and facts of a stored run. BadRequest for what no run stores; it names the row or the fact, and the field."""
    with Store(directory) as store:
        trials, facts = list(store.trials()), store.facts()
    try:
        return trials, checked(facts)
    except BadRequest as error:
        raise BadRequest(f"{directory / STORE}, {error.wrong}", error.allowed) from None


def checked(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a run. BadRequest for one that no run leaves; the config is always there."""
    allowed = ", ".join(("config", *FACTS, *OF_COMMANDS))
    for name in facts:
        if name in FACTS:
            fact(facts, name)
        elif name not in ("config", *OF_COMMANDS) or _levels(facts[name]) > _MOST_LEVELS:
            raise BadRequest(f"fact {shown(name)}: found {shown(facts[name])}", f"the facts of a run are {allowed}")
    try:
        RunConfig.from_dict(facts.get("config"))
    except BadRequest as error:
        raise BadRequest(f"fact 'config': {error.wrong}", error.allowed) from None
    return facts


def fact(facts: dict[str, Any], name: str, hint: Any = None) -> Any:
    """A fact, of its type, or of another. BadRequest if it is not there, or is none."""
    try:
        return codec.from_plain(FACTS.get(name, hint), facts[name])
    except KeyError:
        raise BadRequest(f"there is no fact {name!r}", "give a run that has it") from None
    except (codec.Malformed, BadRequest) as error:
        raise BadRequest(f"fact {name!r}: {error.wrong}", error.allowed) from None


def _levels(value: object, most: int = _MOST_LEVELS) -> int:
    """How deep it is nested, at most `most` + 1."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_levels(each, most - 1) for each in inner), default=0) if most else 1

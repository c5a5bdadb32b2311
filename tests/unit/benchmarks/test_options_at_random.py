"""Options at random: all that may be drawn is allowed, and the same seed draws the same plans."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.option_words import FLAGS, WORDS, alternatives
from benchmarks.options import with_options
from torture import plan_check
from torture.filesystems import FILESYSTEMS
from torture.filesystems.words import check_words


@pytest.mark.parametrize("name", WORDS)
def test_every_word_is_allowed(name: str) -> None:
    words = WORDS[name]
    drawn = [one for text in (words.mount, FLAGS) for each in alternatives(text) for one in each]
    mount = [word for one in drawn for word in one.split(",")]
    check_words(name, FILESYSTEMS[name].words, (), mount, ("mkfs", "mount"))
    whole = [word for each in alternatives(words.mkfs) for one in each for word in one.split("_")]
    behind = [(option, one) for option, text in words.features.items() for each in alternatives(text) for one in each]
    check_words(name, FILESYSTEMS[name].words, whole, (), ("mkfs", "mount"))
    for pair in behind:
        check_words(name, FILESYSTEMS[name].words, pair, (), ("mkfs", "mount"))


def test_all_types_are_drawn() -> None:
    assert WORDS.keys() == {row.type for row in FILESYSTEMS.values()}


def test_the_same_seed_draws_the_same_plans() -> None:
    drawn = list(islice(with_options(1, list(WORDS)), 60))
    assert drawn == list(islice(with_options(1, list(WORDS)), 60))
    assert drawn != list(islice(with_options(2, list(WORDS)), 60))
    assert {plan.filesystem for plan in drawn} == set(WORDS)
    for plan in drawn:
        plan_check.check(plan)

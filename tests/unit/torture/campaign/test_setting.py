"""Words of a store, shown so that they can be copied to a shell and do nothing to a terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from torture.campaign.setting import Setting, shell_word
from torture.lab.choose import KernelChoice

NASTY = st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]) | st.sampled_from("'\\$`\x1b\n\u202e\r")
)


@settings(max_examples=20, deadline=None)
@given(st.lists(NASTY, min_size=1, max_size=30))
def test_a_word_is_read_back_by_the_shell_and_shows_as_it_is(words: list[str]) -> None:
    command = " ".join(map(shell_word, words))
    assert command.isprintable()
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True).stdout
    assert read.decode().split("\0")[:-1] == words


def test_a_name_that_is_no_utf8_is_read_back_too() -> None:
    word = shell_word("/d/\udcff\udc80x")
    assert word == r"$'/d/\xff\x80x'"
    assert subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout == b"/d/\xff\x80x"
    assert shell_word("\ud800").isprintable(), "JSON can hold what no file name can"


def test_the_default_needs_no_options_and_everything_else_names_its_lab() -> None:
    assert Setting().options == "" and Setting.given(None, (), ()) == Setting()
    assert Setting("local").options == "--lab local"
    both = Setting.given("uml", ("./a b", ""), ("x=1", "y"), "/bin/tell", Path("/dev/sdx"))
    said = (
        "--lab uml --kernel './a b' --kernel '' --kernel-arg x=1 --kernel-arg y --on-finding /bin/tell --destroy /dev/sdx"
    )
    assert both.options == said
    assert Setting("uml", (KernelChoice("a", ()), KernelChoice("b", ("x",)))).options is None

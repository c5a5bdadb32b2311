"""Small pieces of text that reports share. Pure."""


def count(number: int, what: str) -> str:
    """A number of things in words."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def first_line(text: str) -> str:
    """The first line of what may be long."""
    return text.strip().splitlines()[0][:200] if text.strip() else "nothing"


def one_item(line: str) -> str:
    """Text of more than one line set off, so that what a kernel or fsck said is not taken for a line of the report."""
    return line.replace("\n", "\n      | ")


def shorten(text: str, length: int) -> str:
    """At most so many characters of it."""
    return text if len(text) <= length else f"{text[: length - 4]} ..."

"""Text that somebody else wrote, made fit for terminals, scripts and mails. Pure.

A control character moves the cursor or sets the terminal's title, a newline makes a line that nobody wrote, and U+202E
turns round what follows. What is read from plans, findings, ledgers, kernels and disks may hold any of them.
"""


def printable(text: str) -> str:
    """One line: each character that is not printable (str.isprintable) is written as in a Python string."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_lines(text: str) -> str:
    """The same for text of several lines, which may have tabs."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()

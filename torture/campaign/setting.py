"""What of a run is never taken from what is read: lab, kernels, a program, a device (design.md section 6).

Stores, findings and bundles are exchanged, and whoever runs this may be root. What they say of it is shown as the options
that repeat it, and is used only if the user gives these.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torture.campaign.run_config import RunConfig
from torture.errors import BadRequest
from torture.lab.choose import UML, KernelChoice, lab_for


@dataclass(frozen=True, slots=True)
class Setting:
    """Where trials run, and what else of the machine a run uses. Without arguments: the default kernel of the uml lab."""

    lab: str = UML
    kernels: tuple[KernelChoice, ...] = (KernelChoice("", ()),)
    on_finding: str = ""
    destroy: Path | None = None

    @staticmethod
    def of(config: RunConfig) -> Setting:
        """That of a run."""
        return Setting(config.lab, config.kernels, config.on_finding, config.destroy)

    @staticmethod
    def given(
        lab: str | None,
        kernels: Sequence[str],
        arguments: Sequence[str],
        on_finding: str = "",
        destroy: Path | None = None,
    ) -> Setting:
        """What options say: every kernel gets the same arguments, and a lab that is not named is the kernels' own."""
        choices = tuple(KernelChoice(path, tuple(arguments)) for path in kernels or ("",))
        return Setting(lab or lab_for(*kernels), choices, on_finding, destroy)

    @property
    def options(self) -> str | None:
        """The options that say it, to be copied to a shell; "" for the default, None if there are none that do: that is so
        of kernels with different arguments."""
        if len({kernel.arguments for kernel in self.kernels}) > 1:
            return None
        return " ".join(map(shell_word, self._words()))

    def _words(self) -> Iterable[str]:
        if self != Setting():
            yield from ("--lab", self.lab)
        paths = [kernel.path for kernel in self.kernels]
        for path in paths if paths != [""] else ():
            yield from ("--kernel", path)
        for argument in self.kernels[0].arguments if self.kernels else ():
            yield from ("--kernel-arg", argument)
        yield from ("--on-finding", self.on_finding) if self.on_finding else ()
        yield from ("--destroy", str(self.destroy)) if self.destroy else ()


def check_repeated(recorded: RunConfig, given: Setting, command: str, run: Path) -> None:
    """BadRequest unless what the user gave is the setting that a run has stored. Whether a device is the same one, its
    identity tells and not its name."""
    stored = Setting.of(recorded)
    if stored.destroy and not recorded.device:
        raise BadRequest(f"{run.name} does not say which device {str(stored.destroy)!r} was", "start a new run")
    if replace(given, destroy=None) == replace(stored, destroy=None) and (given.destroy is None) == (
        stored.destroy is None
    ):
        return
    raise BadRequest(
        f"{run.name} goes on as it was started, and no lab, kernel, program or device is taken from what is stored",
        f"if you trust it, repeat what was recorded: {how_to_go_on(recorded, command, run)}",
    )


def how_to_go_on(config: RunConfig, command: str, run: Path) -> str:
    """The command lines that go on with a run, one of which is to be copied."""
    options, start = Setting.of(config).options, f"{command} {shell_word(str(run))}"
    ways = [] if options is None else [f"{start} {options}".rstrip()]
    if config.endless and options != "":
        ways.append(f"{start} --file CAMPAIGN.toml, with the file that it was started with")
    return ", or ".join(ways)


def shell_word(word: str) -> str:
    """A word as a shell reads it back; what would not show, or would move the cursor, is escaped as bash has it: $'...'."""
    if word.isprintable():
        return shlex.quote(word)
    shown = (letter if letter.isprintable() and letter not in "'\\" else _escaped(letter) for letter in word)
    return f"$'{''.join(shown)}'"


def _escaped(letter: str) -> str:
    r"""Each byte as \xNN. A byte that was no UTF-8 is a lone surrogate in Python (surrogateescape)."""
    number = ord(letter)
    content = bytes([number & 0xFF]) if 0xDC80 <= number <= 0xDCFF else letter.encode(errors="surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in content)
